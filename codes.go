package timpush

import (
	"maps"
	"strconv"
)

// Code is an ErrorCode of the API. It is an error itself, so that errors.Is(err, timpush.ErrAccountType) holds through
// every wrapper; codes without a name work the same: errors.Is(err, timpush.Code(60999)). Code 0 means success on the
// wire and is by convention not an error.
//
// Codes 60000 to 79999 are common to the vendor's services (tencentcloud.com/document/product/1047/34348), those from
// 90000 on are the push service's own (1047/60565 and 1047/74196).
type Code int

// Codes of the attribute endpoints.
const (
	ErrBadJSON         Code = 90001 // the JSON of the request is not valid
	ErrNotAdmin        Code = 90009 // the Identifier is not an administrator of the app
	ErrTooManyAccounts Code = 90018 // too many accounts in one request
	ErrInvalidAttr     Code = 90033 // an attribute is not valid: its name is not set for the app, or its value is refused
	ErrAccountType     Code = 90035 // the attribute belongs to the other type of account
	ErrInternal        Code = 91000 // internal error of the server; it may or may not have applied the request
)

// Codes of pushes and scheduled pushes (1047/74196, 1047/67553, 1047/60571, 1047/78841).
const (
	ErrPushTooFrequent  Code = 90024 // pushes come too frequently: one a second
	ErrPushNotActivated Code = 90045 // the push service is not activated
	ErrDailyPushesUsed  Code = 90047 // the day's pushes are used up
	ErrNoSuchPush       Code = 90049 // there is no push with this TaskID
	ErrAlreadyRevoked   Code = 90050 // the push has been revoked already
	ErrPushTooOld       Code = 90052 // the push is older than 24 hours
	ErrTaskState        Code = 90107 // the state of the scheduled push does not allow it
)

// Codes common to the vendor's services, 60000 to 79999.
const (
	ErrBadRequest           Code = 60002 // the HTTP request could not be parsed
	ErrUnparsableJSON       Code = 60003 // the JSON of the request could not be parsed
	ErrAccountCheck         Code = 60004 // the check of account and signature failed
	ErrInvalidSDKAppID      Code = 60006 // the SDKAppID is not valid
	ErrRateLimited          Code = 60007 // the rate of calls of this command is exceeded
	ErrBackendTimeout       Code = 60008 // the backend did not answer in time; it may or may not have applied the request
	ErrNoSuchResource       Code = 60009 // there is nothing at this path
	ErrAdminRequired        Code = 60010 // the Identifier is not an administrator of the app
	ErrAppRateLimited       Code = 60011 // the rate of all calls of the app is exceeded
	ErrNoSDKAppID           Code = 60012 // the SDKAppID is missing in the URL
	ErrBackendAnswer        Code = 60013 // the backend's answer was not JSON; it may or may not have applied the request
	ErrAccountCheckTimeout  Code = 60014 // the check of the account timed out
	ErrAccountNotString     Code = 60015 // an account is not a string
	ErrAppDisabled          Code = 60016 // the app is disabled
	ErrRequestDisabled      Code = 60017 // this request is disabled for the app
	ErrTooFrequent          Code = 60018 // calls come too frequently
	ErrUnavailable          Code = 60020 // no valid plan, or the account is in arrears
	ErrIPNotAllowed         Code = 60021 // the source IP is not on the app's allow-list
	ErrBadQuery             Code = 60025 // sdkappid, identifier, usersig or contenttype in the URL is wrong
	ErrWrongRegion          Code = 60026 // the host does not belong to the region of the app
	ErrProductNotAllowed    Code = 60027 // the product type of the app does not allow this API
	ErrTrialQuota           Code = 60028 // the trial edition's requests for 24 hours are used up
	ErrUserSigExpired       Code = 70001 // the UserSig has expired
	ErrUserSigMalformed     Code = 70003 // the UserSig cannot be decoded
	ErrUserSigMismatch      Code = 70009 // the UserSig does not verify: the key is another app's
	ErrIdentifierMismatch   Code = 70013 // the UserSig was made for another identifier
	ErrSDKAppIDMismatch     Code = 70014 // the UserSig was made for another SDKAppID
	ErrNoKey                Code = 70016 // the app has no key in this region
	ErrNoSuchApp            Code = 70020 // there is no such SDKAppID in this region
	ErrTooManyBadUserSigs   Code = 70050 // too many tries with a UserSig that does not verify
	ErrBlocked              Code = 70051 // the account is on the block list
	ErrNoSuchAccount        Code = 70107 // the account is not known to the app
	ErrInternalTimeout      Code = 70169 // internal timeout; it may or may not have applied the request
	ErrTooManyAccountsInApp Code = 70398 // the app has too many accounts
	ErrAccountDeleted       Code = 70399 // the account was deleted less than three months ago
	ErrBadParameters        Code = 70402 // parameters are not valid
)

// Error returns the number, what the code means, and what to do about it.
func (c Code) Error() string {
	info, ok := codes[c]
	switch {
	case c == 0:
		return "0: no error code"
	case !ok:
		return strconv.Itoa(int(c)) + ": undocumented error code"
	case info.remedy == "":
		return strconv.Itoa(int(c)) + ": " + info.meaning
	}
	return strconv.Itoa(int(c)) + ": " + info.meaning + "; " + info.remedy
}

// Retryable reports whether the client sends the same users again when it meets the code, and so whether it makes sense
// to send them another time: the code is about load, a transient fault, an expired UserSig or a request that was too
// large, not about the data. An undocumented code is not retryable.
func (c Code) Retryable() bool {
	switch c.class() {
	case classThrottle, classTransient, classAccountCheck, classExpired, classTooMany, classTooLong:
		return true
	}
	return false
}

// Throttling reports whether the code says that there are too many calls. It slows down all calls of the client that use the same
// [Quota], and [ErrAppRateLimited] all calls.
func (c Code) Throttling() bool { return c.class() == classThrottle }

// DataFault reports whether the code is about the data of one account, and not about the other accounts of the request: the
// client halves the request until that account is found. Sending the same again does not help.
func (c Code) DataFault() bool {
	class := c.class()
	return class == classData || class == classMalformed
}

// class is what the client does about an answer. If accounts of one answer have different classes, the one that comes later
// in this list decides.
type class uint8

const (
	classNone         class = iota // nothing: it is Done, or nothing helps
	classTransient                 // retry after a pause
	classTooMany                   // halve the request and remember its size
	classTooLong                   // halve the request and remember its length
	classThrottle                  // slow down all calls of the quota, then retry
	classUnproven                  // it is not clear which account the answer means: find out
	classData                      // an account's fault: find out whose
	classMalformed                 // the request's fault, perhaps through one account: find out whose
	classOther                     // not expected: the request fails, the call goes on
	classAccountCheck              // transient twice in a row, then fatal
	classExpired                   // sign again and retry, once
	classCooldown                  // stop the call, and send nothing for a minute
	classFatal                     // stop the call
)

// beyondRequest reports whether the answer is about more than the accounts of its request.
func (c class) beyondRequest() bool { return c == classThrottle || c >= classAccountCheck }

func (c Code) class() class {
	if info, ok := codes[c]; ok {
		return info.class
	}
	return classOther
}

// outcome is the outcome of a request that was answered with c, if no other attempt follows. After a transient fault the request
// may have been applied, unless it failed before that.
func (c Code) outcome() Outcome {
	if c.class() == classTransient && c != ErrAccountCheckTimeout {
		return Unknown
	}
	return Rejected
}

// aboutUserSig reports whether the code says that the UserSig has expired or is wrong, so that the next one must be newly made: the key
// may have been changed.
func (c Code) aboutUserSig() bool {
	if c.class() == classExpired {
		return true
	}
	switch c {
	case 70002, ErrUserSigMalformed, 70004, 70005, 70006, 70007, 70008, ErrUserSigMismatch, 70010, ErrIdentifierMismatch, ErrSDKAppIDMismatch,
		70015, 70019, ErrTooManyBadUserSigs,
		ErrAccountCheck, 60005, ErrBadQuery, 70018, 70214, 70236, 70346: // which name it among what may be wrong, or call it a ticket
		return true
	}
	return false
}

type codeInfo struct {
	class           class
	meaning, remedy string
}

const (
	remedySupport = "if it persists, ask the vendor's support"
	remedyConfig  = "check SDKAppID, Identifier and SecretKey"
	remedyRate    = "lower the rate, share one limiter over all clients of the app, or have the limit raised in the console"
	remedyBug     = "report it as a bug of this client"
	remedyRegion  = "check the Region and the SDKAppID"
	remedyUpgrade = "upgrade the app's plan"
	remedyConsole = "check the app's settings in the console"
	remedyAccount = "check the account"
)

// codes has what is known about every code.
var codes = func() map[Code]codeInfo {
	all := maps.Clone(namedCodes)
	for _, group := range otherCodes {
		for _, c := range group.codes {
			all[c] = group.info
		}
	}
	return all
}()

var namedCodes = map[Code]codeInfo{
	ErrBadRequest:           {classFatal, "the HTTP request could not be parsed", "check proxies on the way, or report it as a bug of this client"},
	ErrUnparsableJSON:       {classMalformed, "the JSON of the request could not be parsed", remedyBug},
	ErrAccountCheck:         {classAccountCheck, "the check of account and signature failed", remedyConfig},
	60005:                   {classAccountCheck, "the check of account and signature failed", remedyConfig},
	ErrInvalidSDKAppID:      {classFatal, "the SDKAppID is not valid", "check the SDKAppID"},
	ErrRateLimited:          {classThrottle, "the call rate of this API is exceeded", remedyRate},
	ErrBackendTimeout:       {classTransient, "the backend timed out, or the HTTP request was malformed", "if it persists, check the base URL"},
	ErrNoSuchResource:       {classFatal, "there is nothing at this path", "check the base URL"},
	ErrAdminRequired:        {classFatal, "the Identifier is not an app administrator", "make it an administrator in the console"},
	ErrAppRateLimited:       {classThrottle, "the call rate of the whole app is exceeded", "see which other services of the app use up the rate"},
	ErrNoSDKAppID:           {classFatal, "the SDKAppID is missing in the URL", "check proxies that drop the query"},
	ErrBackendAnswer:        {classTransient, "the backend's answer was not JSON", remedySupport},
	ErrAccountCheckTimeout:  {classTransient, "the account check timed out", remedySupport},
	ErrAccountNotString:     {classMalformed, "an account is not a string", remedyBug},
	ErrAppDisabled:          {classFatal, "the app is disabled", "ask the vendor's support"},
	ErrRequestDisabled:      {classFatal, "this request is disabled", "ask the vendor's support"},
	ErrTooFrequent:          {classThrottle, "calls come too frequently", remedyRate},
	60019:                   {classThrottle, "calls come too frequently", remedyRate},
	ErrUnavailable:          {classFatal, "the service is not available: no valid plan, or the account is in arrears", "buy, renew or top up, then wait about 5 minutes"},
	ErrIPNotAllowed:         {classFatal, "the source IP is not allowed", "check the allow-list, and NAT addresses"},
	ErrBadQuery:             {classFatal, "sdkappid, identifier, usersig or contenttype in the URL is wrong", remedyConfig},
	ErrWrongRegion:          {classFatal, "the host does not belong to the app's region", "choose the app's Region"},
	ErrProductNotAllowed:    {classFatal, "the app's product type does not allow this API", "check the product type of the app"},
	ErrTrialQuota:           {classFatal, "the trial edition's requests for 24 hours are used up", "upgrade, or wait up to a day"},
	ErrUserSigExpired:       {classExpired, "the UserSig has expired, and so has a new one", "check this machine's clock and the UserSig TTL"},
	ErrUserSigMalformed:     {classFatal, "the UserSig cannot be decoded", "check the Signer, and proxies that alter the query"},
	ErrUserSigMismatch:      {classFatal, "the UserSig does not verify", "check the SecretKey: it may be another app's"},
	ErrIdentifierMismatch:   {classFatal, "the UserSig was made for another identifier", "check the Signer and the Identifier"},
	ErrSDKAppIDMismatch:     {classFatal, "the UserSig was made for another SDKAppID", "check the Signer and the SDKAppID"},
	ErrNoKey:                {classFatal, "the app has no key in this region", remedyRegion},
	ErrNoSuchApp:            {classFatal, "there is no such SDKAppID in this region", remedyRegion},
	ErrTooManyBadUserSigs:   {classCooldown, "too many tries with a UserSig that does not verify", "correct the SecretKey, or find the program that signs with a wrong one"},
	ErrBlocked:              {classFatal, "the account is on the block list", "ask the vendor's support"},
	ErrNoSuchAccount:        {classData, "the account is not known to the app", "import the account, or let its device register for push"},
	ErrInternalTimeout:      {classTransient, "internal timeout", remedySupport},
	ErrTooManyAccountsInApp: {classFatal, "the app has too many accounts", remedyUpgrade},
	ErrAccountDeleted:       {classData, "the account was deleted, and cannot be imported again for three months", remedyAccount},
	ErrBadParameters:        {classMalformed, "parameters are not valid", remedyBug},
	70404:                   {classOther, "the SDK of a device is too old", "update the app on the device"},
	70500:                   {classTransient, "internal error", remedySupport},
	71000:                   {classOther, "the app may not delete accounts", remedyConsole},
	72000:                   {classFatal, "the trial edition's users for a day are used up", remedyUpgrade},
	72001:                   {classFatal, "the user status feature is off", remedyConsole},
	72002:                   {classFatal, "the trial edition's users for a month are used up", remedyUpgrade},
	72010:                   {classThrottle, "the client of one user calls too frequently", remedyRate},
	72011:                   {classFatal, "the do-not-disturb feature is off", remedyConsole},
	72012:                   {classFatal, "the profile subscription feature is off", remedyConsole},

	ErrBadJSON:         {classMalformed, "the JSON of the request is not valid", remedyBug},
	ErrNotAdmin:        {classFatal, "the Identifier is not an app administrator", "make it an administrator in the console"},
	ErrTooManyAccounts: {classTooMany, "too many accounts in the request", remedySupport},
	ErrInvalidAttr:     {classData, "the attribute is not valid", "check its name against the app's attribute names, and its value"},
	ErrAccountType:     {classData, "the attribute belongs to the other account type", "a UserID needs an attribute for UserIDs, a RegistrationID one for RegistrationIDs"},
	ErrInternal:        {classTransient, "internal error", remedySupport},

	ErrPushTooFrequent:  {classThrottle, "pushes come too frequently", remedyRate},
	ErrPushNotActivated: {classFatal, "the push service is not activated", "activate Push in the console"},
	ErrDailyPushesUsed:  {classFatal, "the day's pushes are used up", "wait for the next day, or ask the vendor for more"},
	ErrNoSuchPush:       {classData, "there is no push with this TaskID", "check the TaskID"},
	ErrAlreadyRevoked:   {classData, "the push has been revoked already", ""},
	ErrPushTooOld:       {classData, "the push is older than 24 hours", ""},
	ErrTaskState:        {classData, "the state of the scheduled push does not allow it", "look at the task: only a pending one can be changed or deleted"},
}

// otherCodes are documented for sister services on the same gateway. Without them, an answer with one of them would fail where
// it can be retried, or where the account at fault can be found.
var otherCodes = []struct {
	info  codeInfo
	codes []Code
}{
	{codeInfo{classFatal, "the UserSig is faulty", remedyConfig}, []Code{70002, 70004, 70005, 70006, 70007, 70008, 70010, 70015, 70019}},
	{codeInfo{classExpired, "the UserSig has expired", "check this machine's clock and the UserSig TTL"}, []Code{70052, 70221, 70347}},
	{codeInfo{classTransient, "internal error or timeout", remedySupport}, []Code{
		70017, 70201, 70202, 70203, 70205, 70207, 70208, 70212, 70213, 70222, 70225, 70231, 70308, 70348, 70362, 70401,
		90992, 90994, 90995,
	}},
	{codeInfo{classFatal, "the ticket was refused", remedyConfig}, []Code{70018, 70214, 70236, 70346}},
	{codeInfo{classFatal, "blocked for security reasons", "ask the vendor's support"}, []Code{70114}},
	{codeInfo{classFatal, "the app or its owner does not match", remedyConfig}, []Code{70115, 70140, 70204, 70209, 70210, 70211}},
	{codeInfo{classFatal, "the Identifier is not an app administrator", "make it an administrator in the console"}, []Code{70403}},
	{codeInfo{classTooMany, "the number of accounts in the request is not valid", remedySupport}, []Code{70113, 70206, 90011}},
	{codeInfo{classMalformed, "the request is empty", remedyBug}, []Code{70101}},
	{codeInfo{classData, "the format or type of the account is not valid", remedyAccount}, []Code{70102, 70103, 70104, 70105, 70106, 70145}},
	{codeInfo{classData, "the content is refused", "check the values"}, []Code{80001, 80004}},
	{codeInfo{classTooLong, "the body of the request is too long", remedySupport}, []Code{80002, 90055, 90056, 93000}},
	{codeInfo{classOther, "a callback of the app failed", remedyConsole}, []Code{80003}},
	{codeInfo{classFatal, "the service is deactivated", remedyConsole}, []Code{80005}},
	{codeInfo{classMalformed, "To_Account is missing, empty, unknown or of the wrong type", remedyAccount}, []Code{90003, 90012, 90028, 90029, 90048}},
	{codeInfo{classMalformed, "the format of the request is wrong", remedyBug}, []Code{90002, 90010}},
	{codeInfo{classMalformed, "a field of the request is wrong or missing", remedyBug}, []Code{
		90005, 90006, 90007, 90008, 90026, 90030, 90031, 90043, 90044, 90054,
	}},
	{codeInfo{classData, "a tag is longer than 50 bytes", "shorten the tag"}, []Code{90020, 90034}},
	{codeInfo{classMalformed, "the conditions of the push are wrong", "check the conditions"}, []Code{90022, 90032, 90039, 90040}},
	{codeInfo{classThrottle, "revocations come too frequently", remedyRate}, []Code{90051}},
	{codeInfo{classMalformed, "the DataID has more than 64 bytes", "shorten the DataID"}, []Code{90057}},
	{codeInfo{classData, "the push cannot be revoked without a notification in its place", "give a replacement"}, []Code{90053}},
	{codeInfo{classMalformed, "a parameter of the scheduled push is not valid", remedyBug}, []Code{90104}},
}
