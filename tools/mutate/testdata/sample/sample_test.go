package sample

import "testing"

func TestLargest(t *testing.T) {
	if Largest(1, 2) != 2 || Largest(2, 1) != 2 {
		t.Error("not the largest")
	}
}

func TestCount(t *testing.T) {
	if Count([]string{"a", "b", ""}) != 2 {
		t.Error("not two")
	}
}
