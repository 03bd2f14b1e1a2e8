// Verifies an access token with golang-jwt: `go run verify.go ISSUER AUDIENCE < token`, with the key in access.hex.
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

func main() {
	text, err := os.ReadFile("access.hex")
	refuseIf(err)
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	refuseIf(err)
	input, err := io.ReadAll(io.LimitReader(os.Stdin, 8192))
	refuseIf(err)
	token, err := jwt.Parse(
		strings.TrimSpace(string(input)),
		func(token *jwt.Token) (any, error) {
			// No other token of Latchkey's passes for an access token.
			if token.Header["typ"] != "at+jwt" {
				return nil, fmt.Errorf("this is not an access token")
			}
			return key, nil
		},
		jwt.WithValidMethods([]string{"HS256"}), // the key says what it is for, not the token
		jwt.WithIssuer(os.Args[1]),
		jwt.WithAudience(os.Args[2]),
		jwt.WithExpirationRequired(),
	)
	refuseIf(err)
	claims := token.Claims.(jwt.MapClaims)
	if claims["sub"] == nil || claims["sid"] == nil {
		refuseIf(fmt.Errorf("the token does not say who it is about"))
	}
	fmt.Println(claims["sub"], claims["role"])
}

func refuseIf(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}
