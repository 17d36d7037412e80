package timpush

// ClassName tells what the client does about a code, for the table in testdata.
func ClassName(c Code) string {
	return [...]string{
		classTransient: "transient", classTooMany: "toomany", classTooLong: "toolong", classThrottle: "throttle", classData: "data",
		classMalformed: "malformed", classOther: "other", classAccountCheck: "accountcheck", classExpired: "expired", classCooldown: "cooldown",
		classFatal: "fatal",
	}[c.class()]
}

// CountCodes returns how many codes the client knows.
func CountCodes() int { return len(codes) }
