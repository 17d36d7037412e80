module github.com/timpush/timpush-go/tools

go 1.26.0
