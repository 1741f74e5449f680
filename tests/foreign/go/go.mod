module carteiro.example/reader

go 1.22

require github.com/emersion/go-message v0.18.2

require golang.org/x/text v0.14.0 // indirect
