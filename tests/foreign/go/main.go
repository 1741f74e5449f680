// What go-message finds in the mails named as arguments: one JSON object each.
package main

import (
	"encoding/json"
	"io"
	"log"
	"os"
	"strings"

	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"
)

type found struct {
	Subject    string      `json:"subject"`
	From       [][2]string `json:"from"`
	To         [][2]string `json:"to"`
	MessageID  string      `json:"message_id"`
	InReplyTo  string      `json:"in_reply_to"`
	References []string    `json:"references"`
	Text       string      `json:"text"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, path := range os.Args[1:] {
		if err := out.Encode(read(path)); err != nil {
			log.Fatal(err)
		}
	}
}

func read(path string) found {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	reader, err := mail.CreateReader(file)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	got := found{From: named(reader, "From"), To: named(reader, "To"), References: ids(reader, "References")}
	if got.Subject, err = reader.Header.Subject(); err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	got.MessageID = strings.Join(ids(reader, "Message-Id"), " ")
	got.InReplyTo = strings.Join(ids(reader, "In-Reply-To"), " ")
	part, err := reader.NextPart()
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(part.Body)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	got.Text = strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
	return got
}

func named(reader *mail.Reader, field string) [][2]string {
	list, err := reader.Header.AddressList(field)
	if err != nil {
		log.Fatal(err)
	}
	pairs := [][2]string{}
	for _, each := range list {
		pairs = append(pairs, [2]string{each.Name, each.Address})
	}
	return pairs
}

func ids(reader *mail.Reader, field string) []string {
	list, err := reader.Header.MsgIDList(field)
	if err != nil {
		log.Fatal(err)
	}
	bracketed := []string{}
	for _, each := range list {
		bracketed = append(bracketed, "<"+each+">")
	}
	return bracketed
}
