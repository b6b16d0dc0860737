package db

// appendArray appends an array with an element for each key.
func appendArray(text []byte, keys []sealedKey, element func([]byte, *sealedKey) []byte) []byte {
	text = append(text, '{')
	for i := range keys {
		if i > 0 {
			text = append(text, ',')
		}
		text = element(text, &keys[i])
	}
	return append(text, '}')
}
