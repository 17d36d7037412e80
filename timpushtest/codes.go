package timpushtest

// The codes that the fake gives of its own accord. 6xxxx and 7xxxx are those of the gateway, page
// tencentcloud.com/document/product/1047/34348; 9xxxx those of the attribute family, page 60565.
const (
	codeBadURL           = 60002
	codeNotJSON          = 60003
	codeTooFast          = 60007
	codeBackendTimeout   = 60008
	codeNoResource       = 60009
	codeNoSDKAppID       = 60012
	codeBackendNotJSON   = 60013
	codeBadParameter     = 60025
	codeWrongRegion      = 60026
	codeSigExpired       = 70001
	codeSigIllegal       = 70003
	codeSigMismatch      = 70009
	codeSigIdentifier    = 70013
	codeSigSDKAppID      = 70014
	codeUnknownApp       = 70020
	codeTooManyBadSigs   = 70050
	codeUnknownAccount   = 70107
	codeInternalTimeout  = 70169
	codeAppIsFull        = 70398
	codeGatewayInternal  = 70500
	codeBadRequest       = 90001
	codeNotAdmin         = 90009
	codeTooManyAccounts  = 90018
	codeInvalidAttr      = 90033
	codeWrongAccountType = 90035
	codeInternal         = 91000
	codeBodyTooLong      = 93000
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
