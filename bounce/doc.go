// Package bounce takes what mail servers and providers report of e-mails that they had taken: by SMTP or LMTP, from a
// mailbox (IMAP), and by the hooks of services. Each inlet understands a report and gives it to db.Bounced, which books
// it if it names an e-mail of ours by a tag that only this installation makes, or if the inlet proves who reports.
package bounce
