package endpoint_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

var sectionLine = regexp.MustCompile(`(?m)^-- ([a-z.]+) --\n`)

// sections reads a fixture: parts that start with a line `-- name --`.
func sections(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	parts, text := map[string]string{}, string(data)
	marks := sectionLine.FindAllStringSubmatchIndex(text, -1)
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		parts[text[m[2]:m[3]]] = strings.TrimSpace(text[m[1]:end])
	}
	return parts
}

func fromJSON[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&v), text)
	return v
}

// shownVerdict is how fixtures write a Verdict; here the codes are plain, because they are made up.
type shownVerdict struct {
	Outcome      endpoint.Outcome    `json:"outcome"`
	Kind         keyturn.Kind        `json:"kind,omitempty"`
	ErrorCode    string              `json:"errorCode,omitempty"`
	ErrorMessage string              `json:"errorMessage,omitempty"`
	Reason       string              `json:"reason"`
	Codes        []string            `json:"codes,omitempty"`
	Additional   map[string][]string `json:"additional,omitempty"`
}

func shown(v endpoint.Verdict) shownVerdict {
	return shownVerdict{v.Outcome, v.Kind, v.ErrorCode, v.ErrorMessage, v.Reason, codes(v), v.Additional}
}

func codes(v endpoint.Verdict) []string {
	var list []string
	for _, c := range v.Deliverable.ActivationCodes {
		list = append(list, c.Reveal())
	}
	return list
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/contract/F*.txt")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 12)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			part := sections(t, file)
			if part["integration.json"] == "" {
				return // F8 has its own test
			}
			in := fromJSON[keyturn.Integration](t, part["integration.json"])
			require.NoError(t, endpoint.Check(in, true))
			if part["data.json"] != "" {
				checkRequest(t, in, part)
			}
			if part["reply"] != "" {
				status, body, _ := strings.Cut(part["reply"], "\n")
				code, err := strconv.Atoi(status)
				require.NoError(t, err)
				units, _ := strconv.Atoi(part["units"])
				v := endpoint.Judge(in, part["operation"], units, endpoint.Reply{Status: code, Body: []byte(body)})
				require.Equal(t, fromJSON[shownVerdict](t, part["verdict.json"]), shown(v))
			}
		})
	}
}

func checkRequest(t *testing.T, in keyturn.Integration, part map[string]string) {
	t.Helper()
	d := fromJSON[endpoint.Data](t, part["data.json"])
	req, err := endpoint.Render(in, part["operation"], d)
	require.NoError(t, err)
	require.Equal(t, http.MethodPost, req.Method)
	require.Equal(t, part["url"], req.URL)
	require.JSONEq(t, part["body.json"], string(req.Body))
	if part["headers"] != "" {
		var lines []string
		for name, values := range req.Header {
			lines = append(lines, name+": "+strings.Join(values, ", "))
		}
		slices.Sort(lines)
		require.Equal(t, part["headers"], strings.Join(lines, "\n"))
	}
	again, err := endpoint.Render(in, part["operation"], d)
	require.NoError(t, err)
	require.Equal(t, req, again)
	stored, err := json.Marshal(req)
	require.NoError(t, err)
	require.Equal(t, req, fromJSON[endpoint.Request](t, string(stored)))
}

func TestSigningVectors(t *testing.T) {
	t.Parallel()
	type vector struct {
		Secret, Canonical, Signature string
		Fields                       []string
		Data                         endpoint.Data
	}
	for _, v := range fromJSON[[]vector](t, sections(t, "testdata/contract/F08-signing.txt")["cases.json"]) {
		canonical, signature, err := endpoint.Sign(keyturn.Signature{
			Enabled: true, SignedFields: v.Fields,
			Secret: &keyturn.SecretRef{Value: v.Secret},
		}, v.Data)
		require.NoError(t, err)
		require.Equal(t, v.Canonical, canonical)
		require.Equal(t, v.Signature, signature)
	}
}

func TestDecisionTable(t *testing.T) {
	t.Parallel()
	part := sections(t, "testdata/contract/F09-decision-table.txt")
	in := fromJSON[keyturn.Integration](t, part["integration.json"])
	for i, line := range strings.Split(part["table"], "\n")[1:] {
		t.Run(strconv.Itoa(i)+" "+line, func(t *testing.T) {
			t.Parallel()
			cell := strings.Split(line, "|")
			require.Len(t, cell, 4)
			for i := range cell {
				cell[i] = strings.TrimSpace(cell[i])
			}
			status, err := strconv.Atoi(cell[0])
			require.NoError(t, err)
			v := endpoint.Judge(in, "create", 1, endpoint.Reply{Status: status, Body: []byte(cell[1])})
			require.Equal(t, cell[2], string(v.Outcome), v.Reason)
			require.Equal(t, cell[3], string(v.Kind))
			require.NotEmpty(t, v.Reason)
		})
	}
}

// The decision table that partners read is the one that is tested.
func TestTheDocsShowTheDecisionTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/use/partners.md")
	require.NoError(t, err)
	rows := strings.Split(sections(t, "testdata/contract/F09-decision-table.txt")["table"], "\n")
	table := "<!-- decision table -->\n"
	for i, row := range rows {
		cell := strings.Split(row, "|")
		for j := range cell {
			cell[j] = strings.TrimSpace(cell[j])
		}
		if i > 0 && cell[1] != "" {
			cell[1] = "`" + cell[1] + "`"
		}
		table += "| " + strings.Join(cell, " | ") + " |\n"
		if i == 0 {
			table += "|---|---|---|---|\n"
		}
	}
	require.Contains(t, string(page), table)
}
