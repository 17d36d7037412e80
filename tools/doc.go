// Package tools is a module of programs that check this repository. It is never
// published, so that what the programs need is nobody's dependency.
package tools
