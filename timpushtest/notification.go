package timpushtest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// shape checks a member of OfflinePushInfo, page tencentcloud.com/document/product/1047/77715. It returns what is wrong,
// "" for nothing. With lax, it accepts words and members that are not documented.
type shape func(raw json.RawMessage, lax bool) string

func text(raw json.RawMessage, _ bool) string {
	if _, ok := readText(raw); !ok {
		return "is not a string"
	}
	return ""
}

// word is one of several strings.
func word(words ...string) shape {
	return func(raw json.RawMessage, lax bool) string {
		got, ok := readText(raw)
		switch {
		case !ok:
			return "is not a string"
		case !lax && !slices.Contains(words, got):
			return "is not one of the documented words"
		}
		return ""
	}
}

// integer is a number within bounds.
func integer(least, most int64) shape {
	return func(raw json.RawMessage, _ bool) string {
		if n, ok := readInt(raw); !ok || n < least || n > most {
			return "is not an integer from " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10)
		}
		return ""
	}
}

// number is one of several numbers.
func number(numbers ...int64) shape {
	return func(raw json.RawMessage, lax bool) string {
		n, ok := readInt(raw)
		switch {
		case !ok:
			return "is not an integer"
		case !lax && !slices.Contains(numbers, n):
			return "is not one of the documented numbers"
		}
		return ""
	}
}

// either is one of two shapes: the page of OfflinePushInfo calls VIVONotifyType a string and gives it numbers.
func either(a, b shape) shape {
	return func(raw json.RawMessage, lax bool) string {
		if a(raw, lax) == "" {
			return ""
		}
		return b(raw, lax)
	}
}

func list(of shape) shape {
	return func(raw json.RawMessage, lax bool) string {
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil || items == nil {
			return "is not an array"
		}
		for _, item := range items {
			if bad := of(item, lax); bad != "" {
				return "has an element that " + bad
			}
		}
		return ""
	}
}

// members is an object with documented members; nil for one with any.
func members(of map[string]shape) shape {
	return func(raw json.RawMessage, lax bool) string {
		var fields object
		if json.Unmarshal(raw, &fields) != nil || fields == nil {
			return "is not an object"
		}
		if of == nil {
			return ""
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			check, documented := of[name]
			if !documented && !lax {
				return "has an unknown member " + strconv.Quote(name)
			}
			if !documented {
				continue
			}
			if bad := check(fields[name], lax); bad != "" {
				return "has a member " + name + " that " + bad
			}
		}
		return ""
	}
}

func shortText(maxBytes int) shape {
	return func(raw json.RawMessage, _ bool) string {
		if s, ok := readText(raw); !ok || len(s) > maxBytes {
			return "is not a string of at most " + strconv.Itoa(maxBytes) + " bytes"
		}
		return ""
	}
}

// offlinePushInfo is the field of that name.
var offlinePushInfo = members(map[string]shape{
	"PushFlag": number(0, 1), "Title": text, "Desc": text, "Ext": text,
	"MultiLanguageContent": list(members(map[string]shape{"Language": text, "Title": text, "Desc": text})),
	"BadgeAddNum":          integer(1, 99), "BadgeSetNum": integer(0, 999),
	"PushTemplateId": text, "PushTemplateParam": members(nil),
	"AndroidInfo": members(map[string]shape{
		"Sound": text, "PushStyle": number(0, 1), "XiaoMiChannelID": text,
		"OPPOChannelID": text, "OPPOCategory": text, "OPPONotifyLevel": number(1, 2, 16),
		"OPPOPrivateMsgTemplateId": text, "OPPOPrivateTitleParameters": members(nil), "OPPOPrivateContentParameters": members(nil),
		"VIVOClassification": number(0, 1), "VIVOCategory": text, "VIVONotifyType": either(word("1", "2", "3", "4"), number(1, 2, 3, 4)),
		"HuaWeiImportance": text, "HuaWeiCategory": text, "HuaWeiImage": text, "HuaWeiChannelID": text,
		"HonorImage": text, "HonorImportance": word("LOW", "NORMAL"),
		"GoogleImage": text, "GooglePriority": word("normal", "high"), "GoogleChannelID": text,
		"MeiZuNoticeMsgType": number(0, 1),
	}),
	"ApnsInfo": members(map[string]shape{
		"BadgeMode": number(0, 1), "Title": text, "SubTitle": text, "Image": text, "MutableContent": number(0, 1), "Sound": text,
		"InterruptionLevel": word("active", "critical", "passive", "time-sensitive"), "ContentAvailable": number(0, 1),
		"IsVoipPush": number(0, 1),
		"LiveActivity": members(map[string]shape{
			"LaId": shortText(64), "Event": word("update", "end"), "ContentState": members(nil), "DismissalDate": integer(0, 1<<53),
		}),
	}),
	"HarmonyInfo": members(map[string]shape{
		"Title": text, "Category": text, "Image": text, "Sound": text, "SoundDuration": integer(1, 60),
	}),
})

// checkOfflinePushInfo checks the field, which must be there.
func (set *settings) checkOfflinePushInfo(raw json.RawMessage) *refusal {
	if raw == nil {
		return refuse(codeBadRequest, "OfflinePushInfo is missing")
	}
	if bad := offlinePushInfo(raw, set.UndocumentedAccepted); bad != "" {
		return refuse(codeBadRequest, "OfflinePushInfo %s", bad)
	}
	return nil
}

// msgBody is the field of that name, page tencentcloud.com/document/product/1047/67814.
var msgBody = list(members(map[string]shape{
	"MsgType": word("TIMTextElem", "TIMLocationElem", "TIMFaceElem", "TIMCustomElem", "TIMSoundElem", "TIMImageElem",
		"TIMFileElem", "TIMVideoFileElem"),
	"MsgContent": members(nil),
}))

func (set *settings) checkMsgBody(raw json.RawMessage) *refusal {
	var elements []object
	switch {
	case list(members(nil))(raw, true) != "":
		return refuse(codeMsgBodyNotArray, "MsgBody is not an array of objects")
	case msgBody(raw, set.UndocumentedAccepted) != "":
		return refuse(codeBadMsgElement, "an element of MsgBody %s", msgBody(raw, set.UndocumentedAccepted))
	}
	must(json.Unmarshal(raw, &elements))
	if len(elements) == 0 {
		return refuse(codeBadMsgBody, "MsgBody is empty")
	}
	for _, e := range elements {
		if e["MsgType"] == nil || e["MsgContent"] == nil {
			return refuse(codeBadMsgElement, "an element of MsgBody has no MsgType or no MsgContent")
		}
	}
	return nil
}
