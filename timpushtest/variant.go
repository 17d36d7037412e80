package timpushtest

import "time"

// Variant says how the fake behaves where the documentation of the service leaves a question open: one field for each
// question, the zero value being the likeliest answer. A careful client gives the right result under all of them. Set
// one with [WithVariant], and see [WorstCase].
type Variant struct {
	// The call as a whole.

	// FixedWindow counts the quota by seconds of the clock. Default: in any sliding second.
	FixedWindow bool
	// QuotaScope is what shares one quota.
	QuotaScope QuotaScope
	// ThrottleCode is the code beyond the quota: 60007 (0 is the same), 60011, 60018 or 60019.
	ThrottleCode int
	// RefusedCallsFree leaves calls beyond the quota out of the count. It changes nothing with FixedWindow.
	RefusedCallsFree bool
	// HTTP405 answers other methods than POST with HTTP status 405. Default: code 60009.
	HTTP405 bool
	// NotAdminCode is the code for an identifier that is no administrator: 90009 (0 is the same) or 60010.
	NotAdminCode int
	// NotJSONCode is the code for a body that is not JSON: 60003 (0 is the same) or 90001.
	NotJSONCode int
	// MaxBody is the largest body in bytes; a larger one is refused with 93000. Default, and for less than 0: any size.
	MaxBody int
	// RepeatedRandomRefused refuses with 60025 a value of the parameter random that was used before.
	RepeatedRandomRefused bool
	// BadSignatureLimit refuses every call of an identifier with 70050, also a well signed one, while the last minute saw
	// five of its signatures fail with 70009. When the code of page tencentcloud.com/document/product/1047/34348 is given
	// is not documented. Default: never.
	BadSignatureLimit bool
	// ExpiryTolerance accepts a UserSig for so long, in whole seconds, after its expiry.
	ExpiryTolerance time.Duration
	// FutureTimeRefused refuses with 70001 a UserSig that is made later than now.
	FutureTimeRefused bool

	// Entries and attributes.

	// EmptyAccepted takes an empty UserAttrs, UserTags, Attrs, To_Account or AttrNames for success. Default: 90001.
	EmptyAccepted bool
	// NonStringCode is the code for a value or a name that is not a string: 90001 (0 is the same) or 90033.
	NonStringCode int
	// InvalidAttrPerAccount puts 90033 into ErrorList. Default: one bad attribute fails the request.
	InvalidAttrPerAccount bool
	// LongValue is what a value of more than 50 bytes does.
	LongValue LongValue
	// EscapedLength measures the 50 bytes of a value, and of a name in set_attr_name, as they stand in the JSON. Default:
	// after decoding.
	EscapedLength bool
	// EmptyValue is what an empty value does.
	EmptyValue EmptyValue
	// ControlsRefused refuses values with control characters with 90033.
	ControlsRefused bool
	// UnknownNamesIgnored skips attribute names that the app does not have. Default: 90033.
	UnknownNamesIgnored bool
	// UnknownStored makes set_attr accept accounts that are not among [WithKnownAccounts]; they are known from then on.
	UnknownStored bool
	// AbsentRefused refuses with 90033 the removal of an attribute that the account does not have.
	AbsentRefused bool
	// ReadDelay makes get_attr show the attributes of an account as they were so long ago. [Server.Attrs] has them at once.
	ReadDelay time.Duration
	// FoldedNames finds attribute names without regard to case, also one that an app is about to have twice.
	FoldedNames bool
	// MixedTypesApplied applies the fitting part of an entry that mixes attributes of both account types; the account
	// fails with 90035 even so. Default: nothing of the entry is applied.
	MixedTypesApplied bool
	// Duplicates is what an account that is given twice in one request does.
	Duplicates Duplicates
	// Replace makes set_attr replace all attributes of its accounts. Default: those it does not name stay.
	Replace bool
	// PartialApply applies the first half of the entries, rounded down and without those that are wrong themselves, of a
	// request that fails as a whole after its body was read. Default: nothing is applied.
	PartialApply bool
	// AppliedOnOpenCodes makes [ErrorCode] with 60008, 60013, 70169, 70500 or 91000 carry the request out first, as
	// [ErrorCodeApplied] does.
	AppliedOnOpenCodes bool

	// Tags.

	// TagLimitCode is the code of add_tag and remove_tag for a tag of more than 50 bytes and for too many tags of an account
	// in one request: 90020 and 90032 (0 is the same) or 90001.
	TagLimitCode int
	// TagTotalCode is the code for an account with more than 100 tags in all, and an app with more than 1000. Default: 90032.
	TagTotalCode int
	// TagTotalFailsRequest refuses the request as a whole for that. Default: the account is in ErrorList.
	TagTotalFailsRequest bool
	// TagsUntyped lets a tag be given to accounts of both types. Default: it belongs to the type of the account that has it
	// first, and others fail with 90035.
	TagsUntyped bool

	// Pushes.

	// UndocumentedAccepted accepts fields, and words in OfflinePushInfo, that the documentation does not have, in requests
	// for tags and pushes. Default: 90001.
	UndocumentedAccepted bool
	// FromAccountRequired makes push refuse a request without From_Account with 90001.
	FromAccountRequired bool
	// EmptyCondition is whom a push with a Condition without members is for.
	EmptyCondition EmptyCondition
	// TagsNotAloneRefused refuses with 90001 a Condition with TagsNot alone. Default: all other accounts match.
	TagsNotAloneRefused bool
	// TagsNotAny excludes accounts with any of the tags in TagsNot. Default: those with all of them, as a sample of page
	// tencentcloud.com/document/product/1047/60561 says.
	TagsNotAny bool
	// MsgRandomWindow is the time in which a push, or a batch, with the MsgRandom of another is a duplicate: it is answered
	// with the TaskId of the first and does not go out. Default: a second. The pages of 2021 say 7 days.
	MsgRandomWindow time.Duration
	// RecipientsQueued accepts batches beyond the accounts a second of the plan. Default: they are refused.
	RecipientsQueued bool
	// RecipientsCode is the code for them: 60007 (0 is the same) or 90024.
	RecipientsCode int
	// BatchSizeCode is the code for a batch of more than 500 accounts: 90011 (0 is the same) or 90018.
	BatchSizeCode int
	// BatchIDsRefused makes revoke and the statistics refuse the TaskId of a batch with 90049.
	BatchIDsRefused bool
	// RevokeInfoOptional lets revoke go without OfflinePushInfo, as in editions of 2024. Default: 90053.
	RevokeInfoOptional bool

	// Scheduled pushes, statistics and callbacks.

	// PastTasksAccepted accepts a SchedAt in the past. Default: 90104.
	PastTasksAccepted bool
	// TaskPushCodes gives faults in Content the codes that push and batch have for them. Default: 90104.
	TaskPushCodes bool
	// TaskAttrsRefused refuses a scheduled push to a condition of attributes.
	TaskAttrsRefused bool
	// TasksFree leaves scheduled pushes out of those of the day, see [WithPlan].
	TasksFree bool
	// TaskPageSize is the most tasks that list_sched_task gives at once, whatever Want says. Default: any number.
	TaskPageSize int
	// TaskSenderNumber shows Content.From_Account as a number, as a sample of page
	// tencentcloud.com/document/product/1047/78842 does.
	TaskSenderNumber bool
	// ChatLoss is the form of the answer of normal_push_loss.
	ChatLoss ChatLoss
	// CallbackCommandOmitted leaves CallbackCommand out of the items of a callback: it is in the query alone.
	CallbackCommandOmitted bool
	// CallbackRedelivered makes [Server.SendCallback] send events again, three times in all, that are answered with an
	// ErrorCode other than 0 or an HTTP status other than 200. Default: it does not.
	CallbackRedelivered bool

	// The names of the app.

	// BadIndexCode is the code for an index other than "0" to "9", for one that only AttrTypes has, and for a type other
	// than 0 and 1, all in set_attr_name: 90001 (0 is the same) or 90033.
	BadIndexCode int
	// EmptyNameClears makes the name "" take the name from its index in set_attr_name. The type stays, and so do the
	// values, which are back under the next name. Default: 90033.
	EmptyNameClears bool
	// RenameRefused refuses with 90033 a new name for an index that has another. Default: the values that accounts have
	// there go by the new name.
	RenameRefused bool
	// SameNameRefused refuses with 90033 the name that its index has already.
	SameNameRefused bool

	// The answer.

	// EmptyFieldsAbsent leaves out AttrNames, AttrTypes, UserAttrs and UserTags where there is nothing in them. Default:
	// they are empty.
	EmptyFieldsAbsent bool
	// TypesOmitted leaves AttrTypes out of the answers of get_attr_name, as editions of 2024 of page
	// tencentcloud.com/document/product/1047/60562 do.
	TypesOmitted bool
	// AnswersInOrder makes get_attr and get_tag answer in the order of the request. Default: in any order, as a sample of
	// page tencentcloud.com/document/product/1047/37169.
	AnswersInOrder bool
	// NotFoundOmitted leaves accounts that are not known out of the answers of get_attr and get_tag altogether. Default:
	// they are in ErrorList with 70107 (page tencentcloud.com/document/product/1047/60564).
	NotFoundOmitted bool
	// FailWhenAllFail answers FAIL, with the code of the first account and an ErrorList, when all accounts failed. Default:
	// OK, as when some failed (page tencentcloud.com/document/product/1047/60565).
	FailWhenAllFail bool
	// OKStatusOnFailure says ActionStatus OK beside an ErrorCode other than 0.
	OKStatusOnFailure bool
	// FailStatusOnSuccess says ActionStatus FAIL beside ErrorCode 0.
	FailStatusOnSuccess bool
	// QuotedNumbers writes each number of an answer as a JSON string.
	QuotedNumbers bool
	// ErrorInfo is where the field ErrorInfo is.
	ErrorInfo ErrorInfo
	// ErrorList is the form of the field ErrorList when no account failed.
	ErrorList ErrorList
	// ErrorListUnrelated adds the account "unrelated", with 70107, to the ErrorList of every answer that may have one and
	// is a success.
	ErrorListUnrelated bool
	// ErrorListOtherCase spells accounts in ErrorList in upper case, or in lower case if they are upper already.
	ErrorListOtherCase bool
	// ErrorListTwice lists each failed account a second time, then with 91000.
	ErrorListTwice bool
	// Gzip compresses answers for clients that accept it.
	Gzip bool
}

// WithVariant sets how the fake behaves where the documentation leaves a question open.
func WithVariant(v Variant) Option { return func(set *settings) { set.Variant = v } }

// WorstCase returns the hardest reading of each question for a client that sends valid requests: with it, what such a
// client reports as done is stored, and it can still get everything done. Two fields that contradict the documentation stay
// off, since no success is certain under them: FailStatusOnSuccess and ErrorListUnrelated.
func WorstCase() Variant {
	return Variant{
		QuotaScope:             QuotaPerApp,
		ThrottleCode:           60011,
		HTTP405:                true,
		NotAdminCode:           60010,
		NotJSONCode:            codeBadRequest,
		MaxBody:                10 << 10,
		RepeatedRandomRefused:  true,
		BadSignatureLimit:      true,
		FutureTimeRefused:      true,
		NonStringCode:          codeInvalidAttr,
		LongValue:              LongValueCut,
		EscapedLength:          true,
		EmptyValue:             EmptyRefused,
		ControlsRefused:        true,
		AbsentRefused:          true,
		ReadDelay:              time.Second,
		MixedTypesApplied:      true,
		Duplicates:             DuplicatesRefused,
		PartialApply:           true,
		AppliedOnOpenCodes:     true,
		TagLimitCode:           codeBadRequest,
		TagTotalCode:           codeBadRequest,
		TagTotalFailsRequest:   true,
		FromAccountRequired:    true,
		EmptyCondition:         EmptyConditionEverybody,
		TagsNotAloneRefused:    true,
		MsgRandomWindow:        7 * 24 * time.Hour,
		RecipientsCode:         codePushTooFast,
		BatchSizeCode:          codeTooManyAccounts,
		BatchIDsRefused:        true,
		TaskPushCodes:          true,
		TaskAttrsRefused:       true,
		TaskPageSize:           2,
		TaskSenderNumber:       true,
		ChatLoss:               ChatLossUnnamed,
		CallbackRedelivered:    true,
		CallbackCommandOmitted: true,
		BadIndexCode:           codeInvalidAttr,
		RenameRefused:          true,
		SameNameRefused:        true,
		EmptyFieldsAbsent:      true,
		TypesOmitted:           true,
		NotFoundOmitted:        true,
		FailWhenAllFail:        true,
		OKStatusOnFailure:      true,
		QuotedNumbers:          true,
		ErrorInfo:              ErrorInfoNone,
		ErrorList:              ErrorListNull,
		ErrorListOtherCase:     true,
		ErrorListTwice:         true,
		Gzip:                   true,
	}
}

// QuotaScope is what shares one quota. Not documented.
type QuotaScope int

// The scopes of [Variant.QuotaScope].
const (
	QuotaPerCommand QuotaScope = iota // the default: each command of the app has its own
	QuotaPerApp                       // all commands of the app together
	QuotaPerHost                      // all commands under one Host header
)

// EmptyValue is what an empty attribute value does. Not documented.
type EmptyValue int

// The settings of [Variant.EmptyValue].
const (
	EmptyStored  EmptyValue = iota // the default: it is kept as any other
	EmptyDeletes                   // it deletes the attribute
	EmptyRefused                   // it is refused with 90033
)

// LongValue is what a value of more than 50 bytes does. Only the limit is documented.
type LongValue int

// The settings of [Variant.LongValue].
const (
	LongValueRefused    LongValue = iota // the default: 90033 for the whole request
	LongValuePerAccount                  // 90033 in ErrorList
	LongValueCut                         // kept up to the last character that ends within 50 bytes
)

// Duplicates is what an account that is given twice in one request does. Not documented.
type Duplicates int

// The settings of [Variant.Duplicates].
const (
	DuplicatesLaterWins Duplicates = iota // the default: entries are applied one after the other
	DuplicatesRefused                     // 90001 for the whole request
	DuplicatesListed                      // each occurrence is in ErrorList with 90001, none is applied
)

// ChatLoss is the form of the answer of normal_push_loss. The sample of page tencentcloud.com/document/product/1047/71898 is
// not valid JSON.
type ChatLoss int

// The settings of [Variant.ChatLoss].
const (
	ChatLossTop     ChatLoss = iota // the default: the lists stand beside ErrorCode
	ChatLossResults                 // they are in an object Results
	ChatLossUnnamed                 // they are in an object without a name, as printed
)

// EmptyCondition is whom a push with an empty Condition is for. Not documented.
type EmptyCondition int

// The settings of [Variant.EmptyCondition].
const (
	EmptyConditionRefused   EmptyCondition = iota // the default: it is refused with 90001
	EmptyConditionEverybody                       // everybody
	EmptyConditionNone                            // no account
)

// ErrorList is the form of the field ErrorList when no account failed. The documentation only says that it is there
// when some failed.
type ErrorList int

// The settings of [Variant.ErrorList].
const (
	ErrorListAbsent ErrorList = iota // the default
	ErrorListNull                    // null
	ErrorListEmpty                   // []
)

// ErrorInfo is where an answer has the field ErrorInfo. The documentation has it everywhere, the vendor's samples do not.
type ErrorInfo int

// The settings of [Variant.ErrorInfo].
const (
	ErrorInfoTop        ErrorInfo = iota // the default: at the top only, empty on success
	ErrorInfoNone                        // nowhere
	ErrorInfoEverywhere                  // also in ErrorList
)
