package main

import (
	"fmt"
	"time"
)

// thousands formats a number without decimals: 9,750.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func percent(share float64) string { return fmt.Sprintf("%.4g %%", 100*share) }

func mebibytes(x float64) string { return fmt.Sprintf("%.1f MiB", x) }

func milliseconds(d time.Duration) string { return thousands(inMilliseconds(d)) + " ms" }

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func number(x float64) string { return fmt.Sprintf("%.3g", x) }

func microseconds(x float64) string { return fmt.Sprintf("%.2g µs", x) }

func seconds(x float64) string { return fmt.Sprintf("%.2f s", x) }
