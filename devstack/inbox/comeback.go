package inbox

import (
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
)

// Nowhere is the domain whose addresses nobody has: with Config.ReportsTo, what is sent there is kept, and comes back.
const Nowhere = "nowhere.test"

// reports says to the sender that an e-mail came back from each of its recipients at Nowhere, as mail servers do
// (RFC 3464). What cannot be told is lost, as it may be with them.
func (s *Server) reports(from string, to []string) {
	if s.cfg.ReportsTo == "" || from == "" { // a report is never reported
		return
	}
	for _, recipient := range to {
		if strings.HasSuffix(strings.ToLower(recipient), "@"+Nowhere) {
			go func() { _ = s.report(from, recipient) }()
		}
	}
}

func (s *Server) report(from, recipient string) error {
	c, err := smtp.Dial(s.cfg.ReportsTo)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.SendMail("", []string{from}, strings.NewReader(reportOf(from, recipient)))
}

func reportOf(from, recipient string) string {
	return strings.ReplaceAll(fmt.Sprintf(`From: MAILER-DAEMON@inbox.localhost
To: <%[1]s>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="report"

--report
Content-Type: text/plain

Nobody has the address %[2]s.

--report
Content-Type: message/delivery-status

Reporting-MTA: dns; inbox.localhost

Final-Recipient: rfc822; %[2]s
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <%[2]s>: User unknown

--report--
`, from, recipient), "\n", "\r\n")
}
