module github.com/timpush/timpush-go/benchmarks

go 1.26.0

require github.com/timpush/timpush-go v0.1.0

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/tencentyun/tls-sig-api-v2-golang v1.4.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/timpush/timpush-go => ../
