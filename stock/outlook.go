package stock

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// outlook is what the keys of a file look like, in constant memory.
type outlook struct {
	header bool
	rows   int
	keys   int    // of them
	first  string // masked
	looks  map[string]*int
	look   []byte // of the key that is being added
}

const maxLooks = 1000 // are told apart; keys that look otherwise are unlike the rest

func (o *outlook) add(row keyRow) {
	o.rows++
	if row.bad != "" {
		return
	}
	if o.keys++; o.keys == 1 {
		o.first, o.looks = masked(row.key), map[string]*int{}
	}
	o.look = append(appendShape(o.look[:0], row.key), 0)
	o.look = strconv.AppendInt(o.look, int64(len(row.key)), 10)
	if n := o.looks[string(o.look)]; n != nil {
		*n++
	} else if len(o.looks) < maxLooks {
		o.looks[string(o.look)] = new(1)
	}
}

// preview counts the keys that do not look like the others: with another shape than more than half of all, or with
// another length where nine in ten of that shape have the same. Of keys that have nothing in common it counts none.
func (o *outlook) preview() keyturn.ImportPreview {
	p := keyturn.ImportPreview{FirstKey: o.first, Header: o.header, Rows: o.rows}
	shapes, same := map[string]int{}, map[string]int{} // keys of a shape, and of its most frequent length
	for look, n := range o.looks {
		shape, _, _ := strings.Cut(look, "\x00")
		shapes[shape] += *n
		same[shape] = max(same[shape], *n)
	}
	for shape, n := range shapes {
		if 2*n <= o.keys {
			continue
		}
		p.Unlike = o.keys - n
		if 10*same[shape] >= 9*n {
			p.Unlike = o.keys - same[shape]
		}
	}
	return p
}

const maxShape = 64

// appendShape appends the outline of a key's first line: a run of letters and digits is one x, another character stands
// for itself, a line end for more lines.
func appendShape(b []byte, key string) []byte {
	end := len(b) + maxShape
	for _, r := range key {
		if len(b) >= end {
			return b
		}
		switch {
		case r < utf8.RuneSelf && ('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'),
			r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)):
			if len(b) == 0 || b[len(b)-1] != 'x' {
				b = append(b, 'x')
			}
		case r == '\n':
			return append(b, '\n')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// masked is a key of which its owner knows which it is, and nobody else what it is.
func masked(key string) string {
	line, _, more := strings.Cut(key, "\n")
	const shown, long = 4, 40
	open := min(utf8.RuneCountInString(line)/3, shown)
	var out strings.Builder
	n := 0
	for _, r := range line {
		if n++; n > long {
			more = true
			break
		}
		if n > open && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) {
			r = '•'
		}
		out.WriteRune(r)
	}
	if more {
		out.WriteString("…")
	}
	return out.String()
}

// looksLikeHeader says whether the first row of a file is rather the name of what stands below it than a key: it has
// the words of one, or it is unlike all the others, which are alike.
func looksLikeHeader(first string, others []string, byShape bool) bool {
	if strings.Contains(first, "\n") {
		return false
	}
	named, nothingElse := namesKeys(first)
	for _, key := range others { // what the others have too says nothing
		also, nothing := namesKeys(key)
		named, nothingElse = named && !also, nothingElse && !nothing
	}
	if nothingElse || named && len(others) > 0 {
		return true
	}
	if !byShape || len(others) < 2 {
		return false
	}
	const begin = 3 // keys that begin alike are of one series
	for _, key := range others {
		if len(first) >= begin && strings.HasPrefix(key, first[:begin]) {
			return false
		}
	}
	shape, length := string(appendShape(nil, others[0])), len(others[0])
	sameLength, digits := true, true
	for _, key := range others {
		if string(appendShape(nil, key)) != shape {
			return false
		}
		sameLength = sameLength && len(key) == length
		digits = digits && hasDigit(key)
	}
	if string(appendShape(nil, first)) != shape {
		return true
	}
	const many = 10 // letters alone can be of one length by chance
	return sameLength && len(first) != length && !hasDigit(first) && (digits || len(others) >= many)
}

func hasDigit(text string) bool { return strings.ContainsFunc(text, unicode.IsDigit) }

// keyWords are what people call a column of keys.
var keyWords = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`
		key keys code codes serial serials license licenses licence licences activation voucher vouchers coupon coupons
		token tokens cdkey keycode passcode
		schlüssel schluessel lizenz lizenzen seriennummer gutschein gutscheine
		clé clés clef licence activation clave claves código códigos codigo codigos licencia licencias serie
		chiave chiavi codice codici licenza licenze seriale chave chaves licença licenças sleutel licentie
		nyckel licens nøgle nøkkel lisens avain lisenssi klucz kod kody licencja klíč kód licence kulcs anahtar lisans
		ключ ключи код коды лицензия лицензии серийный κλειδί κωδικός מפתח رمز
		キー ライセンス ライセンスキー シリアル シリアルキー コード 密钥 密鑰 序列号 序號 激活码 许可证 키 라이선스 코드`) {
		words[word] = true
	}
	return words
}()

// namesKeys says whether a text has a word for keys and reads like words rather than like a key: without a digit, or
// with blanks. nothingElse: all its words are words for keys.
func namesKeys(text string) (named, nothingElse bool) {
	if len(text) > 100 {
		return false, false
	}
	nothingElse = true
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r)
	}) {
		if isKeyWord(word) {
			named = true
		} else {
			nothingElse = false
		}
	}
	digit := hasDigit(text)
	return named && (!digit || strings.Contains(text, " ")), named && nothingElse && !digit
}

// isKeyWord knows also words that are put together, such as licensekey and Produktschlüssel.
func isKeyWord(word string) bool {
	if keyWords[word] {
		return true
	}
	for _, part := range []string{"license", "licence", "lizenz", "serial", "serien", "activation", "product", "produkt"} {
		if rest, ok := strings.CutPrefix(word, part); ok && rest != "" {
			return true
		}
	}
	for _, part := range []string{"schlüssel", "schluessel", "code", "nummer"} {
		if rest, ok := strings.CutSuffix(word, part); ok && len(rest) > 2 {
			return true
		}
	}
	return false
}
