package timpushtest

// The codes that the fake gives of its own accord. 6xxxx and 7xxxx are those of the gateway, page
// tencentcloud.com/document/product/1047/34348; 9xxxx those of the push service, pages 60565 and 74196.
const (
	codeBadURL            = 60002
	codeNotJSON           = 60003
	codeTooFast           = 60007
	codeBackendTimeout    = 60008
	codeNoResource        = 60009
	codeNoSDKAppID        = 60012
	codeBackendNotJSON    = 60013
	codeBadParameter      = 60025
	codeWrongRegion       = 60026
	codeSigExpired        = 70001
	codeSigIllegal        = 70003
	codeSigMismatch       = 70009
	codeSigIdentifier     = 70013
	codeSigSDKAppID       = 70014
	codeUnknownApp        = 70020
	codeTooManyBadSigs    = 70050
	codeUnknownAccount    = 70107
	codeInternalTimeout   = 70169
	codeAppIsFull         = 70398
	codeGatewayInternal   = 70500
	codeBadRequest        = 90001
	codeBadMsgBody        = 90002
	codeBadMsgRandom      = 90005
	codeMsgBodyNotArray   = 90007
	codeNotAdmin          = 90009
	codeBadMsgElement     = 90010
	codeTooManyRecipients = 90011
	codeTooManyAccounts   = 90018
	codeTagTooLong        = 90020
	codeRepeatedTag       = 90022
	codePushTooFast       = 90024
	codeBadLifeTime       = 90026
	codeTooManyTags       = 90032
	codeInvalidAttr       = 90033
	codeWrongAccountType  = 90035
	codeMixedConditions   = 90039
	codeEmptyTag          = 90040
	codeDayUsedUp         = 90047
	codeUnknownTask       = 90049
	codeAlreadyRevoked    = 90050
	codeRevokeTooFast     = 90051
	codeTooLateToRevoke   = 90052
	codeNothingToShow     = 90053
	codePushTooLong       = 90056
	codeDataIDTooLong     = 90057
	codeBadTask           = 90104
	codeTaskState         = 90107
	codeInternal          = 91000
	codeBodyTooLong       = 93000
)

// isOpenCode reports whether a code leaves open if the request was carried out.
func isOpenCode(code int) bool {
	switch code {
	case codeBackendTimeout, codeBackendNotJSON, codeInternalTimeout, codeGatewayInternal, codeInternal:
		return true
	default:
		return false
	}
}
