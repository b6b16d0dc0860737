package web_test

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// camera takes pictures of as many scenes at a time as it has room for.
type camera chan struct{}

// shots are what a picture has of each language, from left to right.
var shots = []struct {
	width int64
	dark  bool
	scale float64
}{
	{width: 1000, scale: .55},
	{width: 320, dark: true, scale: .64},
}

// shoot makes the picture of a scene.
func (c camera) shoot(t *testing.T, x scene, stages map[string]*stage, sights map[string]sight, file string) {
	t.Helper()
	c <- struct{}{}
	defer func() { <-c }()
	var rows [][]image.Image
	for _, lang := range keyturn.PageLanguages {
		b := surf(t)
		b.enters(x, stages[lang], sights[lang])
		var row []image.Image
		for _, s := range shots {
			b.dark(s.dark)
			b.run(chromedp.EmulateViewport(s.width, 700))
			data := b.shot(s.scale)
			keep(t, fmt.Sprintf("%s-%s-%d", x.name, lang, s.width), data)
			one, err := png.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			row = append(row, one)
		}
		rows = append(rows, row)
		if x.image != "" && lang == "en" {
			b.dark(false)
			b.run(chromedp.EmulateViewport(760, 700))
			require.NoError(t, os.WriteFile("../docs/images/"+x.image, b.shot(1), 0o600))
		}
	}
	saveWebP(t, fewColors(sheet(rows)), file)
}

// gap is between the pictures of a sheet.
const gap = 8

var ground = color.NRGBA{138, 147, 163, 255}

// sheet lays pictures out in rows.
func sheet(rows [][]image.Image) *image.NRGBA {
	width, height := 0, gap
	for _, row := range rows {
		across, tallest := gap, 0
		for _, one := range row {
			across, tallest = across+one.Bounds().Dx()+gap, max(tallest, one.Bounds().Dy())
		}
		width, height = max(width, across), height+tallest+gap
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.NewUniform(ground), image.Point{}, draw.Src)
	y := gap
	for _, row := range rows {
		x, tallest := gap, 0
		for _, one := range row {
			draw.Draw(out, one.Bounds().Add(image.Pt(x, y)), one, image.Point{}, draw.Src)
			x, tallest = x+one.Bounds().Dx()+gap, max(tallest, one.Bounds().Dy())
		}
		y += tallest + gap
	}
	return out
}

// fewColors has 24 colors in place of all others, which keeps a picture small: those that it has most of, without such
// as are nearly the same.
func fewColors(in *image.NRGBA) *image.Paletted {
	counts := map[color.NRGBA]int{}
	for i := 0; i < len(in.Pix); i += 4 {
		counts[color.NRGBA{in.Pix[i], in.Pix[i+1], in.Pix[i+2], 255}]++
	}
	common := slices.SortedFunc(maps.Keys(counts), func(a, b color.NRGBA) int {
		return cmp.Or(counts[b]-counts[a], bytes.Compare([]byte{a.R, a.G, a.B}, []byte{b.R, b.G, b.B}))
	})
	var palette color.Palette
	for _, c := range common {
		if len(palette) < 24 && !slices.ContainsFunc(palette, func(p color.Color) bool { return near(p.(color.NRGBA), c) }) {
			palette = append(palette, c)
		}
	}
	out := image.NewPaletted(in.Bounds(), palette)
	nearest := map[color.NRGBA]uint8{}
	for i := range out.Pix {
		c := color.NRGBA{in.Pix[4*i], in.Pix[4*i+1], in.Pix[4*i+2], 255}
		index, known := nearest[c]
		if !known {
			index = uint8(palette.Index(c))
			nearest[c] = index
		}
		out.Pix[i] = index
	}
	return out
}

// near says that two colors look nearly the same.
func near(a, b color.NRGBA) bool {
	square := func(x, y uint8) int { return (int(x) - int(y)) * (int(x) - int(y)) }
	return square(a.R, b.R)+square(a.G, b.G)+square(a.B, b.B) < 14*14
}

// saveWebP saves a picture without loss. Go's library only reads WebP.
func saveWebP(t *testing.T, picture image.Image, file string) {
	t.Helper()
	var data bytes.Buffer
	require.NoError(t, png.Encode(&data, picture))
	cmd := exec.CommandContext(t.Context(), "cwebp", "-quiet", "-lossless", "-m", "5", "-o", file, "--", "-")
	cmd.Stdin = &data
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "pictures need cwebp (on Debian: apt-get install webp): %s", out)
}

// keep saves a part of a picture, for whoever wants to see it as it is.
func keep(t *testing.T, name string, data []byte) {
	t.Helper()
	if folder := os.Getenv("KEYTURN_TEST_PICTURES"); folder != "" {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".png"), data, 0o600))
	}
}

var zones = map[string]string{"en": "Europe/London", "fr": "Europe/Paris", "de": "Europe/Berlin"}

// enters opens what a scene has shown, and does there what only a browser can.
func (b *browser) enters(x scene, s *stage, shown sight) {
	b.t.Helper()
	_, err := chromedp.Call(b, emulation.SetTimezoneOverride,
		emulation.SetTimezoneOverrideParams{TimezoneID: zones[s.lang]})
	require.NoError(b.t, err)
	s.shown.Store(&shown)
	b.run(chromedp.Navigate(s.origin+shownPath), chromedp.Evaluate[chromedp.Void](standStill))
	if x.act != "" {
		b.run(chromedp.Evaluate[chromedp.Void](x.act))
	}
	if x.until != "" {
		b.eventually(x.until)
	}
	b.eventually(`[...document.images].every((i) => i.complete)`)
}

// standStill ends the timers with which a page looks for news.
const standStill = `for (let timer = setTimeout(() => {}); timer > 0; timer--) clearTimeout(timer)`

// shownPath is where a stage serves what a scene has shown, beside its pages.
const shownPath = "/shown"

// serveShown is the stage's server.
func (s *stage) serveShown(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := s.shown.Load()
		if r.URL.Path == "/favicon.ico" { // of the mailbox
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.URL.Path != shownPath || shown == nil {
			pages.ServeHTTP(w, r)
			return
		}
		body := shown.html
		for _, name := range []string{"Content-Security-Policy", "Content-Language"} {
			if value := shown.header.Get(name); value != "" {
				w.Header().Set(name, value)
			}
		}
		if shown.isEmail() { // as a mailbox shows it
			body = strings.ReplaceAll(body, mailURL+"/images/", s.origin+"/images/")
			at := strings.Index(body, "<table")
			body = body[:at] + `<p style="margin:0;padding:10px 16px;background:#3f4a5a;color:#ffffff;` +
				`font:15px/1.4 sans-serif"><strong>` + html.EscapeString(shown.subject) + `</strong><br>` +
				html.EscapeString(strings.ReplaceAll(shown.from, `"`, "")) + `</p>` + body[at:]
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(body))
	})
}

// shot is a picture of the whole page, or of the window where a dialog covers it.
func (b *browser) shot(scale float64) []byte {
	b.t.Helper()
	size := get(b, chromedp.Evaluate[[]float64](
		`[document.documentElement.scrollWidth,
			document.querySelector("dialog[open]") ? innerHeight : document.documentElement.scrollHeight]`))
	beyond := true
	out, err := chromedp.Call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond,
		Clip:                  &page.Viewport{Width: size[0], Height: size[1], Scale: scale},
	})
	require.NoError(b.t, err)
	return out.Data
}
