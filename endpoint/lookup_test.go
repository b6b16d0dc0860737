package endpoint

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func asked(def keyturn.Operation) keyturn.Integration {
	return keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test/api",
		Operations: map[string]keyturn.Operation{"lookup": def},
	}
}

func TestLookUpIsAGetBesideTheDefaultContract(t *testing.T) {
	t.Parallel()
	in := asked(keyturn.Operation{
		URLComplement: "/licenses/{{.LicenseID}}",
		ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key"}},
	})
	require.NoError(t, Check(in, true))
	d := samples("create")[0]
	req, err := Render(in, "lookup", d)
	require.NoError(t, err)
	require.Equal(t, http.MethodGet, req.Method)
	require.Equal(t, "https://partner.test/api/licenses/"+d.LicenseID, req.URL)
	require.Empty(t, req.Body)
	require.Empty(t, req.Header.Get("Content-Type"))

	create, err := Render(in, "create", d)
	require.NoError(t, err, "a look-up alone leaves Nexway's default contract in force")
	require.Equal(t, "https://partner.test/api/licenses/new", create.URL)
	require.Equal(t, http.MethodPost, create.Method)
	_, err = Render(keyturn.Integration{ID: "other", BaseURL: "https://partner.test"}, "lookup", d)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
}

func TestLookUpAnswers(t *testing.T) {
	t.Parallel()
	in := asked(keyturn.Operation{
		URLComplement: "/l/{{.LicenseID}}",
		ResponsePaths: map[string]keyturn.ResponsePath{
			"activationCode": {Path: "$.key"},
			"errorCode":      {Path: "$.issued", ConversionTemplate: `{{if eq . "false"}}NONE{{end}}`},
		},
		NotFound: &keyturn.NotFound{HTTPStatus: []int{404, 410}, ErrorCodes: []string{"NONE"}},
	})
	require.NoError(t, Check(in, true))
	for name, c := range map[string]struct {
		status   int
		body     string
		issued   bool
		notFound bool
	}{
		"issued":             {200, `{"key":"K-1","issued":true}`, true, false},
		"404":                {404, ``, false, true},
		"410":                {410, `{}`, false, true},
		"a code that says":   {200, `{"issued":false}`, false, true},
		"no code, no word":   {200, `{}`, false, false},
		"a page of HTML":     {200, `<h1>404</h1>`, false, false},
		"a server that ails": {503, ``, false, false},
		"who are you":        {401, ``, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := Judge(in, "lookup", 1, Reply{Status: c.status, Body: []byte(c.body)})
			require.Equal(t, c.issued, v.Outcome == Success)
			require.Equal(t, c.notFound, NotIssued(in, v))
		})
	}
}

func TestLookUpIsChecked(t *testing.T) {
	t.Parallel()
	code := map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key"}}
	for name, c := range map[string]struct {
		def  keyturn.Operation
		want string
	}{
		"no address": {keyturn.Operation{ResponsePaths: code}, "operations.lookup.urlComplement"},
		"no code":    {keyturn.Operation{URLComplement: "/{{.LicenseID}}"}, "operations.lookup.responsePaths"},
		"a wrong method": {
			keyturn.Operation{Method: "PUT", URLComplement: "/{{.LicenseID}}", ResponsePaths: code},
			"operations.lookup.method",
		},
		"a GET with body": {
			keyturn.Operation{BodyTemplate: `{}`, URLComplement: "/{{.LicenseID}}", ResponsePaths: code},
			"operations.lookup.bodyTemplate",
		},
		"nothing is found": {keyturn.Operation{
			URLComplement: "/{{.LicenseID}}", ResponsePaths: code,
			NotFound: &keyturn.NotFound{},
		}, "operations.lookup.notFound"},
		"a 503 is no no": {keyturn.Operation{
			URLComplement: "/{{.LicenseID}}", ResponsePaths: code,
			NotFound: &keyturn.NotFound{HTTPStatus: []int{503}},
		}, "operations.lookup.notFound.httpStatus[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e *keyturn.Error
			require.ErrorAs(t, Check(asked(c.def), true), &e)
			require.Equal(t, c.want, e.Fields[0].Location)
		})
	}
	in := asked(keyturn.Operation{URLComplement: "/{{.LicenseID}}", ResponsePaths: code})
	in.Operations["create"] = keyturn.Operation{Method: "GET", NotFound: &keyturn.NotFound{}}
	var e *keyturn.Error
	require.ErrorAs(t, Check(in, true), &e)
	require.Equal(t, "operations.create.method", e.Fields[0].Location)
	require.Equal(t, "operations.create.notFound", e.Fields[1].Location)
}
