package db

import (
	"crypto/hmac"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

// refText is how IDs stand in addresses: servers do not keep the case of letters.
var refText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// tagLength is how much of the keyed hash an address shows: 50 bits, of which nobody finds one by trying addresses.
const tagLength = 10

// MailRef is what an e-mail is called in its envelope and in its headers: its ID, and a tag that only this installation
// can make, so that reports about e-mails cannot be invented.
func (d *DB) MailRef(deliveryID string) string {
	id := uuid.MustParse(deliveryID)
	ref := refText.EncodeToString(id[:])
	return ref + "." + d.refTag(ref)
}

func (d *DB) refTag(ref string) string {
	return refText.EncodeToString(d.keys.MAC("bounce/" + ref))[:tagLength]
}

// MailOfRef gives the ID of the e-mail that a reference names. It is false for one that this installation has not made.
func (d *DB) MailOfRef(text string) (deliveryID string, ok bool) {
	ref, tag, _ := strings.Cut(strings.ToLower(text), ".")
	raw, err := refText.DecodeString(ref)
	if err != nil || !hmac.Equal([]byte(tag), []byte(d.refTag(ref))) {
		return "", false
	}
	id, err := uuid.FromBytes(raw)
	return id.String(), err == nil
}
