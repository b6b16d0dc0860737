package db

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func renderLibrary(f LibraryMailFacts) ([]byte, error) {
	return []byte("to " + f.Customer.Email + ": " + f.Token), nil
}

// asked asks for the library of an address, and gives the e-mails that are due then, as they are sent.
func (s *shop) asked(address string) (sent []string) {
	s.t.Helper()
	require.NoError(s.t, s.AskForLibrary(s.ctx, address))
	return s.sendLibraryMails()
}

func (s *shop) sendLibraryMails() (sent []string) {
	s.t.Helper()
	due, err := s.DueLibraryMails(s.ctx, 100)
	require.NoError(s.t, err)
	for _, id := range due {
		out, err := s.BeginLibraryMail(s.ctx, id, renderLibrary)
		require.NoError(s.t, err)
		if out != nil {
			sent = append(sent, string(out.Message))
			require.NoError(s.t, s.FinishLibraryMail(s.ctx, out, nil))
		}
	}
	return sent
}

// linkIn is the token of the link in an e-mail.
func linkIn(message string) string {
	_, token, _ := strings.Cut(message, ": ")
	return token
}

// opened opens the library of an address.
func (s *shop) opened(address string) (session string) {
	s.t.Helper()
	sent := s.asked(address)
	require.Len(s.t, sent, 1)
	session, err := s.OpenLibrary(s.ctx, linkIn(sent[0]))
	require.NoError(s.t, err)
	return session
}

func (s *shop) inLibrary(session string) (ids []string) {
	s.t.Helper()
	for cursor := ""; ; {
		page, err := s.Library(s.ctx, session, cursor)
		require.NoError(s.t, err)
		for _, o := range page.Orders {
			ids = append(ids, o.OrderID)
		}
		if cursor = page.NextCursor; cursor == "" {
			return ids
		}
	}
}

// bought accepts an order of an address, under a customer of its own.
func (s *shop) bought(id, address string) {
	s.t.Helper()
	in := orderOf(id, lineOf("game", 1))
	in.Order.Customer.Email = address
	_, _, err := s.Accept(s.ctx, in)
	require.NoError(s.t, err)
}

func TestALibraryHasTheOrdersOfItsAddressAndNoOthers(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	var want []string
	for i := range 2*LibraryOrders + 3 {
		id := fmt.Sprintf("o%02d", i)
		s.bought(id, "ada@buyer.test")
		want = append([]string{id}, want...)
	}
	s.bought("other", "ada+shop@buyer.test")
	s.bought("another", "eve@buyer.test")
	s.bought("shouted", "ADA@Buyer.test")
	want = append([]string{"shouted"}, want...)

	sent := s.asked("Ada@buyer.test")
	require.Len(t, sent, 1)
	require.Contains(t, sent[0], "to ADA@Buyer.test: ", "it goes where the latest order's e-mails go")
	session, err := s.OpenLibrary(s.ctx, linkIn(sent[0]))
	require.NoError(t, err)
	require.Equal(t, want, s.inLibrary(session))
	require.Equal(t, []string{"other"}, s.inLibrary(s.opened("ada+shop@buyer.test")))

	page, err := s.Library(s.ctx, session, "")
	require.NoError(t, err)
	require.Len(t, page.Orders, LibraryOrders)
	_, err = s.Library(s.ctx, s.opened("eve@buyer.test"), page.NextCursor)
	wantKind(t, err, keyturn.KindNotFound)
	_, err = s.LibraryReceipt(s.ctx, session, "o01")
	require.NoError(t, err)
	for _, foreign := range []string{"other", "another", "none", "", "o01' OR true"} {
		_, err = s.LibraryReceipt(s.ctx, session, foreign)
		wantKind(t, err, keyturn.KindNotFound)
	}
	s.exec(`UPDATE orders SET email_tag = $1 WHERE id = 'another'`, s.EmailTag("ada@buyer.test")) // a fault of ours
	require.Equal(t, want, s.inLibrary(session), "whose address is another is not shown")
	_, err = s.LibraryReceipt(s.ctx, session, "another")
	wantKind(t, err, keyturn.KindNotFound)
	s.exec(`UPDATE orders SET email_tag = $1 WHERE id = 'shouted'`, s.EmailTag("eve@buyer.test"))
	require.Empty(t, s.asked("eve@buyer.test"), "no address is sent a link to what another has bought")
	require.Equal(t, 3, read[int](s, `SELECT count(*) FROM access_log WHERE by = 'customer' AND subject LIKE 'library/%'`))
}

func TestALinkToALibraryWorksOnceAndForAQuarterOfAnHour(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	token := linkIn(s.asked("ada@buyer.test")[0])
	require.NoError(t, s.CheckLibraryLink(s.ctx, token))
	require.NoError(t, s.CheckLibraryLink(s.ctx, token), "a look uses nothing up")

	sessions := make([]string, 8)
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() {
			session, err := s.OpenLibrary(s.ctx, token)
			if err == nil {
				sessions[i] = session
			} else if keyturn.KindOf(err) != keyturn.KindConflict {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	won := ""
	for _, session := range sessions {
		require.False(t, won != "" && session != "", "two have used one link")
		won += session
	}
	require.Equal(t, []string{"o1"}, s.inLibrary(won))
	wantKind(t, s.CheckLibraryLink(s.ctx, token), keyturn.KindConflict)
	wantKind(t, s.CheckLibraryLink(s.ctx, "guess"), keyturn.KindNotFound)
	_, err := s.OpenLibrary(s.ctx, "guess")
	wantKind(t, err, keyturn.KindNotFound)

	late := linkIn(s.asked("ada@buyer.test")[0])
	s.later(libraryLinkFor)
	wantKind(t, s.CheckLibraryLink(s.ctx, late), keyturn.KindConflict)
	_, err = s.OpenLibrary(s.ctx, late)
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, []string{"o1"}, s.inLibrary(won))
	s.later(LibrarySession - libraryLinkFor)
	_, err = s.Library(s.ctx, won, "")
	wantKind(t, err, keyturn.KindForbidden)

	another := s.opened("ada@buyer.test")
	require.NoError(t, s.CloseLibrary(s.ctx, another))
	for _, session := range []string{another, token, "", "guess"} {
		_, err = s.Library(s.ctx, session, "")
		wantKind(t, err, keyturn.KindForbidden)
	}
}

func TestAnAddressIsSentFiveLinksADay(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := s.AskForLibrary(s.ctx, "ada@buyer.test"); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	for range 10 {
		require.NoError(t, s.AskForLibrary(s.ctx, "Ada@buyer.test"))
	}
	require.Len(t, s.sendLibraryMails(), 5)
	s.exec(`UPDATE library_links SET day = day - 1`)
	require.Len(t, s.asked("ada@buyer.test"), 1)
}

// Nothing tells an address with orders from one without: both take the same steps, and leave the same row.
func TestNobodyLearnsWhetherAnAddressHasOrders(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	rows := func() []string {
		return reads[string](s, `
			SELECT to_jsonb(k) - CAST('{id,email_tag,created_at,due_at,expires_at}' AS text[]) FROM library_links k`)
	}
	require.NoError(t, s.AskForLibrary(s.ctx, "ada@buyer.test"))
	require.NoError(t, s.AskForLibrary(s.ctx, "nobody@buyer.test"))
	require.Len(t, rows(), 2)
	require.Equal(t, rows()[0], rows()[1])
	require.Len(t, s.sendLibraryMails(), 1)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM library_links WHERE customer_id IS NULL AND due_at IS NULL`))
	s.later(libraryKept + time.Second)
	require.NoError(t, s.ForgetLibraryLinks(s.ctx))
	require.Equal(t, []string{"c-o1"}, reads[string](s, `
		SELECT customer_id FROM library_links WHERE email_tag IS NULL AND message = '' AND status = 'SENT'`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM library_links`), "that nobody has orders is known no longer")
}

func TestALinkThatDoesNotGoOutIsTriedUntilItIsOver(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	require.NoError(t, s.AskForLibrary(s.ctx, "ada@buyer.test"))
	id := read[string](s, `SELECT id FROM library_links`)
	refused := keyturn.Errorf(keyturn.KindUnavailable, "the mail server is away")
	first := ""
	for try := 1; ; try++ {
		out, err := s.BeginLibraryMail(s.ctx, id, func(f LibraryMailFacts) ([]byte, error) {
			require.Equal(t, 1, try, "it is rendered once")
			return renderLibrary(f)
		})
		require.NoError(t, err)
		if out == nil {
			require.Greater(t, try, 4)
			break
		}
		if first == "" {
			first = string(out.Message)
		}
		require.Equal(t, first, string(out.Message), "it is sent again byte for byte")
		other, err := s.BeginLibraryMail(s.ctx, id, renderLibrary)
		require.NoError(t, err)
		require.Nil(t, other, "one process sends it")
		require.NoError(t, s.FinishLibraryMail(s.ctx, out, refused))
		require.NoError(t, s.FinishLibraryMail(s.ctx, &LibraryMail{ID: id, try: try + 1}, refused), "of a lost lease")
		s.later(read[time.Duration](s, `SELECT CAST(extract(epoch FROM due_at - now()) * 1e9 AS bigint) FROM library_links`) +
			time.Second)
	}
	require.Equal(t, "READY Unavailable", read[string](s, `
		SELECT status || ' ' || error FROM library_links WHERE due_at IS NULL AND message = ''`))

	require.NoError(t, s.AskForLibrary(s.ctx, "ada@buyer.test"))
	id = read[string](s, `SELECT id FROM library_links WHERE due_at IS NOT NULL`)
	_, err := s.BeginLibraryMail(s.ctx, id, func(LibraryMailFacts) ([]byte, error) {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "it cannot be made")
	})
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM library_links WHERE due_at IS NOT NULL`))
}

func TestErasureClosesALibrary(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	s.bought("o2", "ada@buyer.test") // under another customer ID
	f := reads[string](s, `SELECT fulfillment_id FROM line_items`)
	for _, line := range f {
		s.claimed(line)
		s.resolve(line, keyturn.ActionRefund)
		s.refunded(line)
	}
	s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now(), attempts = 1, exposed = true`)
	session := s.opened("ada@buyer.test")
	require.Equal(t, []string{"o2", "o1"}, s.inLibrary(session))
	waiting := linkIn(s.asked("ada@buyer.test")[0])
	require.NoError(t, s.AskForLibrary(s.ctx, "ada@buyer.test"))

	_, err := s.EraseCustomer(s.ctx, "", "c-o2", "ana")
	require.NoError(t, err)
	require.Empty(t, s.sendLibraryMails(), "what was asked for goes to nobody")
	require.Zero(t, read[int](s, `SELECT count(*) FROM library_links WHERE email_tag IS NOT NULL OR message <> ''`))
	require.Equal(t, []string{"o1"}, reads[string](s, `SELECT id FROM orders WHERE email_tag IS NOT NULL`))
	_, err = s.Library(s.ctx, session, "")
	wantKind(t, err, keyturn.KindForbidden)
	_, err = s.OpenLibrary(s.ctx, waiting)
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, []string{"o1"}, s.inLibrary(s.opened("ada@buyer.test")), "the other customer's are there")

	_, err = s.EraseCustomer(s.ctx, "", "c-o1", "ana")
	require.NoError(t, err)
	require.Empty(t, s.asked("ada@buyer.test"))
}

// An erasure and the sending of a link take their locks in one order, and what is sent then opens nothing.
func TestErasureWhileALinkIsSent(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	for i := range 20 {
		id := fmt.Sprintf("o%d", i)
		s.bought(id, id+"@buyer.test")
		f := read[string](s, `SELECT fulfillment_id FROM line_items WHERE order_id = $1`, id)
		s.claimed(f)
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now(), attempts = 1, exposed = true`)
		require.NoError(t, s.AskForLibrary(s.ctx, id+"@buyer.test"))
		due, err := s.DueLibraryMails(s.ctx, 1)
		require.NoError(t, err)
		var out *LibraryMail
		var erased, begun error
		var both sync.WaitGroup
		both.Go(func() { _, erased = s.EraseCustomer(s.ctx, "", "c-"+id, "ana") })
		both.Go(func() { out, begun = s.BeginLibraryMail(s.ctx, due[0], renderLibrary) })
		both.Wait()
		require.NoError(t, errors.Join(erased, begun))
		if out != nil {
			require.NoError(t, s.FinishLibraryMail(s.ctx, out, nil))
			_, err := s.OpenLibrary(s.ctx, linkIn(string(out.Message)))
			wantKind(t, err, keyturn.KindConflict)
		}
		require.Zero(t, read[int](s, `SELECT count(*) FROM library_links WHERE email_tag IS NOT NULL OR message <> ''`))
	}
}
