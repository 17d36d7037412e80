package timpush

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Documented limits of a notification (tencentcloud.com/document/product/1047/77715).
const (
	maxBadgeAdd      = 99
	maxBadgeSet      = 999
	maxSoundDuration = 60 // seconds
	maxLaIDBytes     = 64
)

// Extra has members of a JSON object for which the struct has no field, or not yet: the service gets several a year. Names are those of the API. A member whose field is set too is an [*InputError], and so is a value that
// cannot be encoded as JSON; otherwise the value is sent as encoding/json writes it, and no limit of the API is checked.
type Extra map[string]any

// Notification is the content of a push and how it is shown: OfflinePushInfo in the API. All is optional, but the zero
// Notification is an [*InputError], unless it comes with a MsgBody in [Push].Extra. Words of the API that this package does not know are
// sent as they are.
//
// Makers of devices cut titles and texts that are too long, counted in UTF-16 units (so that most emoji count twice):
// Huawei at 60 and 600, Honor 50 and 400, Xiaomi 50 and 128, OPPO 50 and 50 (128 with PushStyle 1), vivo 40 and 100,
// Meizu 32 and 100. A packet for APNs holds 4 KB: keep Desc and Ext together under 3 KB.
//
// A Notification encodes as the JSON of OfflinePushInfo, and decodes from it: what has no field goes to Extra.
//
// API: tencentcloud.com/document/product/1047/77715.
type Notification struct {
	Title         string         `json:",omitzero"`
	Desc          string         `json:",omitzero"` // the text below the title
	Ext           string         `json:",omitzero"` // JSON text, passed through to the app; the documentation advises at most 1 KB
	ConnectedOnly bool           `json:"-"`         // PushFlag 1: only to devices that are connected
	Languages     []Language     `json:"MultiLanguageContent,omitempty"`
	BadgeAdd      *int           `json:"BadgeAddNum,omitzero"`        // 1 to 99 more on the app's icon; for APNs, Huawei, Honor and Harmony
	BadgeSet      *int           `json:"BadgeSetNum,omitzero"`        // the number on the icon: 0 to 999 for APNs, 0 to 99 for the others; wins over BadgeAdd
	TemplateID    string         `json:"PushTemplateId,omitzero"`     // of a template made in the console, such as "1400000000-1"
	TemplateParam map[string]any `json:"PushTemplateParam,omitempty"` // values of the template's own variables
	Android       *Android       `json:"AndroidInfo,omitzero"`
	APNs          *APNs          `json:"ApnsInfo,omitzero"`
	Harmony       *Harmony       `json:"HarmonyInfo,omitzero"`
	Extra         Extra          `json:",embed"`
}

// Language is the title and text for devices with a language; those with others get Title and Desc of the Notification.
// It needs version 8.5.6870 of the client SDK.
type Language struct {
	Language string `json:",omitzero"` // such as "en" or "zh-hant" (tencentcloud.com/document/product/1047/52154)
	Title    string `json:",omitzero"`
	Desc     string `json:",omitzero"`
	Extra    Extra  `json:",embed"`
}

// Android holds what is for Android devices only: AndroidInfo in the API. Categories and channels replace those that the
// console has for the maker's certificate.
type Android struct {
	Sound     string `json:",omitzero"` // name of a file in /res/raw of the app, without its extension
	PushStyle int    `json:",omitzero"` // 0: default; 1: long text; for Huawei, Honor and OPPO

	XiaoMiChannelID string `json:",omitzero"`

	OPPOChannelID                string         `json:",omitzero"`
	OPPOCategory                 string         `json:",omitzero"`
	OPPOPrivateMsgTemplateID     string         `json:"OPPOPrivateMsgTemplateId,omitzero"`
	OPPOPrivateTitleParameters   map[string]any `json:",omitempty"`
	OPPOPrivateContentParameters map[string]any `json:",omitempty"`
	OPPONotifyLevel              int            `json:",omitzero"` // 1: bar; 2: and lock screen; 16: and banner, vibration and sound; needs OPPOCategory

	VIVOClassification *int   `json:",omitzero"` // 0: operational; 1: system, the default; VIVOCategory is newer
	VIVOCategory       string `json:",omitzero"`
	VIVONotifyType     string `json:",omitzero"` // "1": silent; "2": sound; "3": vibration; "4": both, the default

	HuaWeiImportance string `json:",omitzero"` // "LOW" or "NORMAL"
	HuaWeiCategory   string `json:",omitzero"`
	HuaWeiImage      string `json:",omitzero"` // HTTPS URL of a small icon
	HuaWeiChannelID  string `json:",omitzero"`

	HonorImage      string `json:",omitzero"` // HTTPS URL of an icon
	HonorImportance string `json:",omitzero"` // "LOW" or "NORMAL"

	GoogleImage     string `json:",omitzero"`
	GooglePriority  string `json:",omitzero"` // "normal" or "high"
	GoogleChannelID string `json:",omitzero"`

	MeiZuNoticeMsgType *int `json:",omitzero"` // 0: official; 1: private; nil: as in the console

	Extra Extra `json:",embed"`
}

// APNs holds what is for devices of Apple only: ApnsInfo in the API.
type APNs struct {
	BadgeMode         *int          `json:",omitzero"` // 0: counts on the app's icon; 1: does not, the default outside of Chat
	Title             string        `json:",omitzero"` // instead of the Notification's
	SubTitle          string        `json:",omitzero"`
	Image             string        `json:",omitzero"` // URL, for the app to load and show
	MutableContent    int           `json:",omitzero"` // 1: the app's extension may change the notification
	Sound             string        `json:",omitzero"` // name of a file of the app, with its extension; at most 30 s long
	InterruptionLevel string        `json:",omitzero"` // "active", "critical", "passive" or "time-sensitive"
	ContentAvailable  int           `json:",omitzero"` // 1: silent, shows nothing; Apple advises at most three an hour
	IsVoipPush        int           `json:",omitzero"` // 1: VoIP; an ordinary notification to a device without a VoIP token
	LiveActivity      *LiveActivity `json:",omitzero"`
	Extra             Extra         `json:",embed"`
}

// LiveActivity updates or ends a Live Activity of iOS. The documentation wants LaID, Event and ContentState.
type LiveActivity struct {
	LaID          string         `json:"LaId,omitzero"` // the app's ID of the activity, at most 64 bytes
	Event         string         `json:",omitzero"`     // "update" or "end"
	ContentState  map[string]any `json:",omitzero"`
	DismissalDate int64          `json:",omitzero"` // Unix seconds; with "end": how long it stays on the lock screen; 0: not any longer
	Extra         Extra          `json:",embed"`
}

// Harmony holds what is for HarmonyOS devices only: HarmonyInfo in the API.
type Harmony struct {
	Title         string `json:",omitzero"` // instead of the Notification's
	Category      string `json:",omitzero"`
	Image         string `json:",omitzero"` // HTTPS URL of a large icon
	Sound         string `json:",omitzero"` // name of a file in /resources/rawfile of the app
	SoundDuration int    `json:",omitzero"` // 1 to 60 seconds, with Sound; 0: as long as the file, at most 30 seconds
	Extra         Extra  `json:",embed"`
}

// offlinePushInfo is the JSON of a Notification. Its fields have no methods, so that they are encoded one by one.
type offlinePushInfo struct {
	PushFlag int `json:",omitzero"`
	notificationFields
}

type notificationFields Notification

// MarshalJSON returns the JSON of OfflinePushInfo, always in the same order. It fails if Extra has a member whose field
// is set too, or a value that cannot be encoded.
func (n Notification) MarshalJSON() ([]byte, error) {
	info := offlinePushInfo{notificationFields: notificationFields(n)}
	if n.ConnectedOnly {
		info.PushFlag = 1
	}
	return marshal(info)
}

// UnmarshalJSON reads the JSON of OfflinePushInfo.
func (n *Notification) UnmarshalJSON(data []byte) error {
	var info offlinePushInfo
	if err := json.Unmarshal(data, &info, exactUnmarshalers); err != nil {
		return err
	}
	*n = info.notification()
	return nil
}

func (info *offlinePushInfo) notification() Notification {
	n := Notification(info.notificationFields)
	n.ConnectedOnly = info.PushFlag == 1
	if info.PushFlag > 1 || info.PushFlag < 0 {
		if n.Extra == nil {
			n.Extra = Extra{}
		}
		n.Extra["PushFlag"] = info.PushFlag
	}
	return n
}

// isZero reports whether nothing is set.
func (n *Notification) isZero() bool {
	set := *n
	if len(set.Languages) == 0 {
		set.Languages = nil
	}
	if len(set.TemplateParam) == 0 {
		set.TemplateParam = nil
	}
	if len(set.Extra) == 0 {
		set.Extra = nil
	}
	return reflect.ValueOf(set).IsZero()
}

// faults returns the faults of the notification, which is in the given field of the input.
func (n *Notification) faults(field string) []*InputError {
	f := faultList{field: field}
	if n.isZero() {
		f.add("", "is empty")
	}
	f.addJSON("", reflect.ValueOf(*n))
	if n.ConnectedOnly && n.Extra.has("PushFlag") {
		f.addTwice("", "PushFlag")
	}
	if n.Ext != "" && utf8.ValidString(n.Ext) && !jsontext.Value(n.Ext).IsValid(jsontext.AllowDuplicateNames(true)) {
		f.add(".Ext", "is not JSON")
	}
	f.addRange(".BadgeAdd", n.BadgeAdd, 1, maxBadgeAdd)
	f.addRange(".BadgeSet", n.BadgeSet, 0, maxBadgeSet)
	if h := n.Harmony; h != nil && h.SoundDuration != 0 {
		f.addRange(".Harmony.SoundDuration", &h.SoundDuration, 1, maxSoundDuration)
	}
	if a := n.APNs; a != nil && a.LiveActivity != nil && len(a.LiveActivity.LaID) > maxLaIDBytes {
		f.add(".APNs.LiveActivity.LaID", "has %d bytes, at most %d are allowed", len(a.LiveActivity.LaID), maxLaIDBytes)
	}
	return f.faults
}

func (x Extra) has(name string) bool {
	_, ok := x[name]
	return ok
}

func (f *faultList) addRange(part string, value *int, least, most int) {
	if value != nil && (*value < least || *value > most) {
		f.add(part, "is %d, want %d to %d", *value, least, most)
	}
}

func (f *faultList) addTwice(part, name string) {
	f.add(fmt.Sprintf("%s.Extra[%s]", part, quote(name)), "is set in its own field too")
}

// addJSON adds what cannot be encoded as JSON: texts that are not UTF-8, values of Extra and of other maps, and members of Extra
// that a field has too. It goes by the types, so that a new field is checked as soon as it exists.
func (f *faultList) addJSON(part string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			f.add(part, notUTF8)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			f.addJSON(part, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.addJSON(fmt.Sprintf("%s[%d]", part, i), v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.addJSON(part+"."+v.Type().Field(i).Name, v.Field(i))
		}
		f.addExtra(part, v)
	case reflect.Map:
		members, _ := v.Convert(reflect.TypeFor[map[string]any]()).Interface().(map[string]any)
		f.addMap(part, members)
	}
}

// addMap adds what cannot be encoded of the members of an object.
func (f *faultList) addMap(part string, members map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := fmt.Sprintf("%s[%s]", part, quote(name))
		if !utf8.ValidString(name) {
			f.add(at, "the name "+notUTF8)
		}
		if _, err := marshal(members[name]); err != nil {
			f.add(at, "a value of type %T cannot be encoded as JSON", members[name])
		}
	}
}

// addExtra adds the members of the Extra of a struct whose own field is set.
func (f *faultList) addExtra(part string, v reflect.Value) {
	extra, _ := v.FieldByName("Extra").Interface().(Extra)
	if len(extra) == 0 {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if field.Name != "Extra" && !v.Field(i).IsZero() && extra.has(name) {
			f.addTwice(part, name)
		}
	}
}
