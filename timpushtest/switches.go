package timpushtest

import "time"

// switches are the answers to questions that the documentation leaves open.
type switches struct {
	// The call as a whole.
	quota            int
	fixedWindow      bool
	quotaScope       QuotaScope
	throttleCode     int
	refusedCallsFree bool
	regionHost       string
	http405          bool
	notAdminCode     int
	notJSONCode      int
	maxBody          int

	repeatedRandomRefused bool
	badSignatureLimit     bool
	expiryTolerance       time.Duration
	futureTimeRefused     bool

	// Entries and attributes.
	emptyAccepted         bool
	nonStringCode         int
	invalidAttrPerAccount bool
	longValue             LongValue
	escapedLength         bool
	emptyValue            EmptyValue
	controlsRefused       bool
	unknownNamesIgnored   bool
	unknownStored         bool
	absentRefused         bool
	readDelay             time.Duration
	foldedNames           bool
	mixedTypesApplied     bool
	duplicates            Duplicates
	replace               bool
	partialApply          bool
	appliedOnOpenCodes    bool

	// The names of the app.
	badIndexCode    int
	emptyNameClears bool
	renameRefused   bool
	sameNameRefused bool

	// The answer.
	emptyFieldsAbsent   bool
	typesUntold         bool
	answersInOrder      bool
	notFoundOmitted     bool
	failWhenAllFail     bool
	okStatusOnFailure   bool
	failStatusOnSuccess bool
	quotedNumbers       bool
	errorInfo           ErrorInfo
	errorList           ErrorList
	strangerInErrorList bool
	alteredCase         bool
	twiceInErrorList    bool
	gzip                bool
}

func defaultSwitches() switches {
	return switches{
		quota:         defaultQuota,
		throttleCode:  codeTooFast,
		notAdminCode:  codeNotAdmin,
		notJSONCode:   codeNotJSON,
		nonStringCode: codeBadRequest,
		badIndexCode:  codeBadRequest,
	}
}

// QuotaScope is what shares one quota. Not documented.
type QuotaScope int

// The scopes of [WithQuotaScope].
const (
	QuotaPerCommand QuotaScope = iota // the default: each command of the app has its own
	QuotaPerApp                       // all commands of the app together
	QuotaPerHost                      // all commands under one Host header
)

// EmptyValue is what an empty attribute value does. Not documented.
type EmptyValue int

// The settings of [WithEmptyValue].
const (
	EmptyStored  EmptyValue = iota // the default: it is kept as any other
	EmptyDeletes                   // it deletes the attribute
	EmptyRefused                   // it is refused with 90033
)

// LongValue is what a value of more than 50 bytes does. Only the limit is documented.
type LongValue int

// The settings of [WithLongValue].
const (
	LongValueRefused    LongValue = iota // the default: 90033 for the whole request
	LongValuePerAccount                  // 90033 in ErrorList
	LongValueCut                         // kept up to the last character that ends within 50 bytes
)

// Duplicates is what an account that is given twice in one request does. Not documented.
type Duplicates int

// The settings of [WithDuplicates].
const (
	DuplicatesLaterWins Duplicates = iota // the default: entries are applied one after the other
	DuplicatesRefused                     // 90001 for the whole request
	DuplicatesListed                      // each occurrence is in ErrorList with 90001, none is applied
)

// ErrorList is the form of the field ErrorList when no account failed. The documentation only says that it is there
// when some failed.
type ErrorList int

// The settings of [WithErrorList].
const (
	ErrorListAbsent ErrorList = iota // the default
	ErrorListNull                    // null
	ErrorListEmpty                   // []
)

// ErrorInfo is where an answer has the field ErrorInfo. The documentation has it everywhere, the vendor's samples do not.
type ErrorInfo int

// The settings of [WithErrorInfo].
const (
	ErrorInfoTop        ErrorInfo = iota // the default: at the top only, empty on success
	ErrorInfoNone                        // nowhere
	ErrorInfoEverywhere                  // also in ErrorList
)

// WithFixedWindow counts the quota anew with each second of the clock. What does the quota's second mean? Default: any
// sliding second.
func WithFixedWindow() Option { return func(set *settings) { set.fixedWindow = true } }

// WithQuotaScope sets what shares one quota. What does?
func WithQuotaScope(scope QuotaScope) Option {
	return func(set *settings) { set.quotaScope = scope }
}

// WithThrottleCode sets the code beyond the quota. Which is it: 60007 (default), 60011, 60018, 60019?
func WithThrottleCode(code int) Option {
	return func(set *settings) { set.throttleCode = code }
}

// WithRefusedCallsFree leaves calls beyond the quota out of the count. Do they count? Default: yes. It changes nothing
// with [WithFixedWindow].
func WithRefusedCallsFree() Option { return func(set *settings) { set.refusedCallsFree = true } }

// WithRegionHost refuses requests for other hosts with 60026 (page tencentcloud.com/document/product/1047/34348). The
// port does not matter. The certificate is valid for this host too. Default: any host will do.
func WithRegionHost(host string) Option { return func(set *settings) { set.regionHost = host } }

// WithHTTP405 answers other methods than POST with HTTP status 405. How are they refused? Default: 60009.
func WithHTTP405() Option { return func(set *settings) { set.http405 = true } }

// WithNotAdminCode sets the code for identifiers that are no administrator. Which is it: 90009 (default), 60010?
func WithNotAdminCode(code int) Option {
	return func(set *settings) { set.notAdminCode = code }
}

// WithAlways90001 gives bodies that are not JSON the code 90001. Which code have they? Default: 60003.
func WithAlways90001() Option { return func(set *settings) { set.notJSONCode = codeBadRequest } }

// WithMaxBody refuses bodies of more than n bytes with 93000. What is the limit? Default, and for n 0 or less: none.
func WithMaxBody(n int) Option { return func(set *settings) { set.maxBody = n } }

// WithRepeatedRandomRefused refuses a value of the parameter random that came before with 60025. Must it be fresh?
// Default: no.
func WithRepeatedRandomRefused() Option {
	return func(set *settings) { set.repeatedRandomRefused = true }
}

// WithBadSignatureLimit refuses every call of an identifier with 70050, also a well signed one, while the last minute
// saw five of its signatures fail with 70009. When is the code, of page
// tencentcloud.com/document/product/1047/34348, given? Default: never.
func WithBadSignatureLimit() Option { return func(set *settings) { set.badSignatureLimit = true } }

// WithExpiryTolerance accepts a UserSig for d, in whole seconds, after its expiry. How far may clocks differ? Default: 0.
func WithExpiryTolerance(d time.Duration) Option {
	return func(set *settings) { set.expiryTolerance = d }
}

// WithFutureTimeRefused refuses a UserSig made later than now with 70001. Is it? Default: no.
func WithFutureTimeRefused() Option { return func(set *settings) { set.futureTimeRefused = true } }

// WithEmptyAccepted takes an empty UserAttrs, Attrs, To_Account or AttrNames for success. What are they? Default: 90001.
func WithEmptyAccepted() Option { return func(set *settings) { set.emptyAccepted = true } }

// WithNonString90033 gives a value or a name that is not a string the code 90033. Which is it? Default: 90001.
func WithNonString90033() Option {
	return func(set *settings) { set.nonStringCode = codeInvalidAttr }
}

// WithKnownAccounts makes all other accounts fail with 70107 in ErrorList, as pages 60564 and 60566 of
// tencentcloud.com/document/product/1047 have it for get_attr and remove_attr. Must an account exist before its
// attributes are set? Default: no, all accounts are known. Used twice, the lists add up.
func WithKnownAccounts(accounts ...string) Option {
	return func(set *settings) {
		if set.known == nil {
			set.known = map[string]bool{}
		}
		for _, account := range accounts {
			set.known[account] = true
		}
	}
}

// WithUnknownAccountsStored makes set_attr take accounts that are not among [WithKnownAccounts]; they are known from then
// on. Must an account exist before its attributes are set? Default, with WithKnownAccounts: it must.
func WithUnknownAccountsStored() Option { return func(set *settings) { set.unknownStored = true } }

// WithInvalidAttrPerAccount puts 90033 into ErrorList. Does one bad attribute fail the request? Default: it does.
func WithInvalidAttrPerAccount() Option {
	return func(set *settings) { set.invalidAttrPerAccount = true }
}

// WithLongValue sets what a value of more than 50 bytes does. What does it?
func WithLongValue(mode LongValue) Option {
	return func(set *settings) { set.longValue = mode }
}

// WithEscapedLength measures the 50 bytes of a value, and of a name in set_attr_name, as they stand in the JSON. Before
// or after decoding? Default: after.
func WithEscapedLength() Option { return func(set *settings) { set.escapedLength = true } }

// WithEmptyValue sets what an empty value does. What does it?
func WithEmptyValue(mode EmptyValue) Option {
	return func(set *settings) { set.emptyValue = mode }
}

// WithControlCharactersRefused refuses values with control characters with 90033. Are they? Default: kept as they are.
func WithControlCharactersRefused() Option {
	return func(set *settings) { set.controlsRefused = true }
}

// WithUnknownNamesIgnored passes over attribute names the app does not have. Are they refused? Default: with 90033.
func WithUnknownNamesIgnored() Option {
	return func(set *settings) { set.unknownNamesIgnored = true }
}

// WithFoldedNames finds attribute names without regard to case, also one that an app is about to have twice. Does case
// matter? Default: it does.
func WithFoldedNames() Option { return func(set *settings) { set.foldedNames = true } }

// WithMixedTypesApplied applies the fitting part of an entry that mixes attributes of both account types; the account
// fails with 90035 all the same. Is the rest lost? Default: nothing of the entry is applied.
func WithMixedTypesApplied() Option { return func(set *settings) { set.mixedTypesApplied = true } }

// WithAbsentRefused refuses with 90033 the removal of an attribute that the account does not have. Is that a fault?
// Default: no.
func WithAbsentRefused() Option { return func(set *settings) { set.absentRefused = true } }

// WithReadDelay makes get_attr show the attributes of an account as they were d ago. [Server.Attrs] has them at once. How
// long does it take until a change shows? Default, and for d 0 or less: no time.
func WithReadDelay(d time.Duration) Option { return func(set *settings) { set.readDelay = d } }

// WithDuplicates sets what an account that is given twice does. What does it?
func WithDuplicates(mode Duplicates) Option {
	return func(set *settings) { set.duplicates = mode }
}

// WithReplace makes a request replace all attributes of its accounts. Do those it does not name stay? Default: they do.
func WithReplace() Option { return func(set *settings) { set.replace = true } }

// WithPartialApply applies the first half of the entries, rounded down and without those that are wrong themselves,
// of a request that fails as a whole after its body was read. Is such a request all or nothing? Default: nothing is applied.
func WithPartialApply() Option { return func(set *settings) { set.partialApply = true } }

// WithAppliedOnOpenCodes makes [ErrorCode] with 60008, 60013, 70169, 70500 or 91000 carry the request out first, as
// [ErrorCodeApplied] does. Was a request with such an answer carried out? Default: no.
func WithAppliedOnOpenCodes() Option {
	return func(set *settings) { set.appliedOnOpenCodes = true }
}

// WithBadIndex90033 gives 90033 to an index other than "0" to "9", to one that only AttrTypes has, and to a type other
// than 0 and 1, all in set_attr_name. Which code do they have? Default: 90001.
func WithBadIndex90033() Option { return func(set *settings) { set.badIndexCode = codeInvalidAttr } }

// WithEmptyNameClears makes the name "" take the name from its index in set_attr_name. The type stays, and so do the
// values, which come to light again under the next name. Can a name be given up? Default: 90033.
func WithEmptyNameClears() Option { return func(set *settings) { set.emptyNameClears = true } }

// WithRenameRefused refuses with 90033 a new name for an index that has another. Can it be changed? Default: it can,
// and the values that accounts have there go by the new name.
func WithRenameRefused() Option { return func(set *settings) { set.renameRefused = true } }

// WithSameNameRefused refuses with 90033 the name that its index has already. May it be sent again? Default: yes.
func WithSameNameRefused() Option { return func(set *settings) { set.sameNameRefused = true } }

// WithEmptyFieldsAbsent leaves out AttrNames, AttrTypes and UserAttrs where there is nothing in them. Are they there?
// Default: they are, empty.
func WithEmptyFieldsAbsent() Option { return func(set *settings) { set.emptyFieldsAbsent = true } }

// WithTypesUntold leaves AttrTypes out of the answers of get_attr_name, as editions of 2024 of page
// tencentcloud.com/document/product/1047/60562 do. Is it always there? Default: yes.
func WithTypesUntold() Option { return func(set *settings) { set.typesUntold = true } }

// WithAnswersInOrder makes get_attr answer in the order of the request. Does it? Default: in any order, as a sample of
// page tencentcloud.com/document/product/1047/37169.
func WithAnswersInOrder() Option { return func(set *settings) { set.answersInOrder = true } }

// WithNotFoundOmitted leaves accounts that are not among [WithKnownAccounts] out of the answers of get_attr altogether.
// Is each account in one of the two lists? Default: it is, with 70107 in ErrorList (page
// tencentcloud.com/document/product/1047/60564).
func WithNotFoundOmitted() Option { return func(set *settings) { set.notFoundOmitted = true } }

// WithFailWhenAllFail answers FAIL, with the code of the first account and an ErrorList, when all accounts failed. Is
// that a success? Default: it is, as when some failed (page tencentcloud.com/document/product/1047/60565).
func WithFailWhenAllFail() Option { return func(set *settings) { set.failWhenAllFail = true } }

// WithOKStatusOnFailure says ActionStatus OK beside an ErrorCode other than 0. Does that happen? Default: never.
func WithOKStatusOnFailure() Option { return func(set *settings) { set.okStatusOnFailure = true } }

// WithFailStatusOnSuccess says ActionStatus FAIL beside ErrorCode 0. Does that happen? Default: never.
func WithFailStatusOnSuccess() Option {
	return func(set *settings) { set.failStatusOnSuccess = true }
}

// WithQuotedNumbers writes each ErrorCode, and each type in AttrTypes, as a JSON string. Does that happen? Default: never.
func WithQuotedNumbers() Option { return func(set *settings) { set.quotedNumbers = true } }

// WithErrorInfo sets where ErrorInfo is. Where is it?
func WithErrorInfo(mode ErrorInfo) Option {
	return func(set *settings) { set.errorInfo = mode }
}

// WithErrorList sets the form of ErrorList when no account failed. Which is it?
func WithErrorList(mode ErrorList) Option {
	return func(set *settings) { set.errorList = mode }
}

// WithStrangerInErrorList adds the account "stranger", with 70107, to the ErrorList of every answer that may have one and
// is a success. Does that happen? Default: never.
func WithStrangerInErrorList() Option {
	return func(set *settings) { set.strangerInErrorList = true }
}

// WithAlteredCase spells accounts in ErrorList in upper case, or in lower case if they are upper already. Does that
// happen? Default: never.
func WithAlteredCase() Option { return func(set *settings) { set.alteredCase = true } }

// WithTwiceInErrorList lists each failed account a second time, then with 91000. Does that happen? Default: never.
func WithTwiceInErrorList() Option { return func(set *settings) { set.twiceInErrorList = true } }

// WithGzip compresses answers for clients that accept it. Are they ever? Default: no.
func WithGzip() Option { return func(set *settings) { set.gzip = true } }
