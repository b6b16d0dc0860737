package keyturn

import "encoding/base64"

// MaxImage is how many bytes an image may have, MaxImageSide how many pixels wide and high it may be.
const (
	MaxImage     = 200 << 10
	MaxImageSide = 4096
)

// Image is a picture that the merchant gives us for pages: PNG, JPEG or WebP. The API takes its bytes as Data and shows
// what they are in the other fields. Sent back without Data, those keep the picture that is stored. The zero value is
// no picture.
type Image struct {
	File   string `json:"file,omitempty"` // read by the command that applies the catalog
	Data   Base64 `json:"data,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // of the bytes, in hexadecimal
	Type   string `json:"type,omitempty"`   // such as image/png, read from the bytes
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
}

// Base64 are bytes that JSON writes in Base64.
type Base64 []byte

// MarshalText writes Base64.
func (b Base64) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, b), nil }

// UnmarshalText reads Base64.
func (b *Base64) UnmarshalText(text []byte) error {
	out, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return Errorf(KindInvalid, "must be Base64")
	}
	*b = out
	return nil
}

// Described is the image without its bytes.
func (i Image) Described() Image {
	i.Data = nil
	return i
}
