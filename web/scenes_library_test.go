package web_test

import (
	"net/http"
	"net/url"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// libraryLetter asks for the customer's library, and gives the e-mail with its link.
func (s *stage) libraryLetter() (letter sight, link string) {
	s.t.Helper()
	ctx := s.t.Context()
	s.several()
	s.page(http.MethodPost, "/library", url.Values{"email": {s.buyer().Email}})
	due, err := s.db.DueLibraryMails(ctx, 10)
	require.NoError(s.t, err)
	require.Len(s.t, due, 1)
	_, err = s.db.BeginLibraryMail(ctx, due[0], func(f db.LibraryMailFacts) ([]byte, error) {
		link = "/library/" + f.Token
		return s.post(s.letters.RenderLibrary(f))
	})
	require.NoError(s.t, err)
	return s.letter(), link
}

// libraryScenes are those of the page with all that an e-mail address has bought.
var libraryScenes = []scene{
	{
		name: "library-ask", title: "All purchases of an address", says: "Its link is sent to that address.",
		play: func(s *stage) sight { return s.page(http.MethodGet, "/library", nil) },
	},
	{
		name: "library-wrong", title: "No e-mail address", says: "What was typed is kept.",
		play: func(s *stage) sight { return s.page(http.MethodPost, "/library", url.Values{"email": {"emma"}}) },
	},
	{
		name: "library-asked", title: "The link was sent", says: "The answer is the same for an address that nobody knows.",
		play: func(s *stage) sight {
			return s.page(http.MethodPost, "/library", url.Values{"email": {s.buyer().Email}})
		},
	},
	{
		name: "library-letter", title: "The e-mail with the link", says: "It works once, for a quarter of an hour.",
		play: func(s *stage) sight {
			letter, _ := s.libraryLetter()
			return letter
		},
	},
	{
		name: "library-link", title: "The link", says: "Opening it uses nothing up; the button does.",
		play: func(s *stage) sight {
			_, link := s.libraryLetter()
			return s.page(http.MethodGet, link, nil)
		},
	},
	{
		name: "library-orders", title: "Purchases", says: "With licences, files and receipts.",
		play: func(s *stage) sight {
			o := s.several()
			o.decide(2, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(2)
			s.page(http.MethodPost, "/library", url.Values{"email": {s.buyer().Email}})
			return s.page(http.MethodPost, s.libraryMails()[s.buyer().Email], url.Values{})
		},
	},
}
