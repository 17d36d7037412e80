// Package sample has code that its tests know well, and code that they do not.
package sample

// Largest is known well.
func Largest(a, b int) int {
	if a > b {
		return a
	}
	return b
}

// Count is hardly known.
func Count(texts []string) (n int) {
	for _, text := range texts {
		if text != "" && len(text) < 10 {
			n += 1
		}
	}
	return n
}
