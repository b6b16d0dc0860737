package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	_ "image/jpeg" // one of the formats that images may have
	_ "image/png"  // likewise

	_ "golang.org/x/image/webp" // likewise

	"keyturn.dev/keyturn"
)

// DescribeImage reads from an image's bytes what it is. An image without bytes stays as it is. What is wrong with it is
// noted at its place.
func DescribeImage(bad *keyturn.Problems, at string, i keyturn.Image) keyturn.Image {
	bad.Check(i.File == "", at, "must be sent as data: file is read by `keyturn apply`")
	if len(i.Data) == 0 {
		return i
	}
	if len(i.Data) > keyturn.MaxImage {
		bad.Addf(at, "must be at most %s", keyturn.Bytes(keyturn.MaxImage))
		return i
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(i.Data))
	if err != nil {
		bad.Addf(at, "must be a PNG, JPEG or WebP image")
		return i
	}
	bad.Check(config.Width >= 1 && config.Width <= keyturn.MaxImageSide && config.Height >= 1 &&
		config.Height <= keyturn.MaxImageSide, at, "must be 1 to %d pixels wide and high", keyturn.MaxImageSide)
	sum := sha256.Sum256(i.Data)
	return keyturn.Image{
		Data: i.Data, SHA256: hex.EncodeToString(sum[:]), Type: "image/" + format, Width: config.Width,
		Height: config.Height,
	}
}
