package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/workflows"
)

// A partner that answers with a file: whoever bought gets exactly its bytes with the e-mail, one of each call, and
// nothing of it is in Temporal or in what the application logs.
func TestAFileIsAttachedAndStaysOutOfTemporal(t *testing.T) {
	t.Parallel()
	for mode, calls := range map[keyturn.QuantityMode]int{
		keyturn.OnePerUnit: 2, keyturn.OnePerLine: 1,
		keyturn.OneCall: 1,
	} {
		t.Run(string(mode), func(t *testing.T) {
			s := start(t, options{})
			require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Shape: "file"}))
			s.product(keyturn.Product{ID: "cad", QuantityMode: mode, Sources: sources(fromEndpoint("acme"))})
			a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 2, GrossPrice: "90"}}, "pay_1")
			s.await(a, keyturn.OrderCompleted)
			s.atRest(a)

			made := s.calls("acme", "create")
			require.Len(t, made, calls)
			want := "license=" + made[0].KeyIssued + "\n"
			files := map[string]string{"activation-file.bin": want}
			if calls == 2 {
				files["activation-file-2.bin"] = "license=" + made[1].KeyIssued + "\n"
			}
			letters := s.letters(buyer)
			require.Len(t, letters, 1)
			require.Equal(t, files, attachments(t, letters[0].Raw))
			found, err := s.db.Deliverables(context.Background(), fulfillment(a), "test")
			require.NoError(t, err)
			require.Len(t, found.Files, calls)
			require.Equal(t, want, string(found.Files[0].Data))

			history := ""
			for _, event := range s.history(workflows.LineWorkflowID(fulfillment(a))).Events {
				raw, err := proto.Marshal(event)
				require.NoError(t, err)
				history += string(raw)
			}
			require.Contains(t, history, a.Order.ID, "the scan sees what is there")
			view, err := s.db.Fulfillment(context.Background(), fulfillment(a))
			require.NoError(t, err)
			require.Contains(t, view.AttemptLog[0].Reply, "activationFileContent")
			for _, canary := range []string{made[0].KeyIssued, want, base64.StdEncoding.EncodeToString([]byte(want))} {
				require.Empty(t, testkit.FindCanary(history, canary))
				require.Empty(t, testkit.FindCanary(s.logs.String(), canary))
				require.NotContains(t, view.AttemptLog[0].Reply, canary)
			}
		})
	}
}

// attachments are the files of an e-mail by name.
func attachments(t *testing.T, raw string) map[string]string {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader([]byte(raw)))
	require.NoError(t, err)
	found := map[string]string{}
	var walk func(contentType string, body io.Reader)
	walk = func(contentType string, body io.Reader) {
		kind, params, err := mime.ParseMediaType(contentType)
		require.NoError(t, err)
		if !strings.HasPrefix(kind, "multipart/") {
			return
		}
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return
			}
			if p.FileName() == "" {
				walk(p.Header.Get("Content-Type"), p)
				continue
			}
			require.Equal(t, "base64", p.Header.Get("Content-Transfer-Encoding"))
			data, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
			require.NoError(t, err)
			found[p.FileName()] = string(data)
		}
	}
	walk(m.Header.Get("Content-Type"), m.Body)
	return found
}

// A partner that sends more codes than were asked for: the line gets its own, and whoever looks at it sees that.
func TestSurplusCodesAreTold(t *testing.T) {
	s := start(t, options{})
	s.integration(keyturn.Integration{ID: "acme", Operations: map[string]keyturn.Operation{"create": {
		URLComplement: "/custom/licenses/create",
		BodyTemplate:  `{"ref":"{{.LicenseID}}","sku":"{{.Product.ID}}","quantity":3,"order":"{{.Checkout.OrderID}}"}`,
		ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: "$.licenses[*].key+"}},
	}}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	keys := s.calls("acme", "create")[0].Keys
	require.Len(t, keys, 3)
	text := s.letters(buyer)[0].Text
	require.Contains(t, text, keys[0])
	view, err := s.db.Fulfillment(context.Background(), fulfillment(a))
	require.NoError(t, err)
	require.Equal(t, "the reply holds 3 activation codes for 1: the others were delivered to nobody",
		view.AttemptLog[0].Message)
	for _, key := range keys {
		require.NotContains(t, view.AttemptLog[0].Reply, key)
	}
	for _, key := range keys[1:] {
		require.NotContains(t, text, key)
	}
}
