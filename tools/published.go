package tools

// ToolDir has the module that is a program: users install it, and so it may have no replace.
const ToolDir = "cmd/timpush"

// Published returns the folders of the modules that are released, the root first. All others are for this repository alone.
func Published() []string {
	return []string{".", "redislimiter", "oteltimpush", "dispatch", ToolDir}
}
