package mail

import "strings"

// RenderAlert renders a digest for operations, as plain text and as HTML. The error is KindInvalid: a wrong envelope.
func RenderAlert(a Alert) (Message, error) {
	shown := a
	shown.Subject = oneLine(a.Subject)
	shown.Entries = make([]AlertEntry, len(a.Entries))
	for i, e := range a.Entries {
		shown.Entries[i] = AlertEntry{
			Cause: oneLine(e.Cause), OrderID: oneLine(e.OrderID), Product: oneLine(e.Product),
			Happened: oneLine(e.Happened), Next: oneLine(e.Next), Link: webURL(e.Link),
		}
	}
	html, err := executePage("alert.html", shown)
	if err != nil {
		return Message{}, err
	}
	return compose(a.Envelope, shown.Subject, alertText(shown), html, nil)
}

func alertText(a Alert) string {
	var out strings.Builder
	out.WriteString(a.Subject + "\n")
	for _, e := range a.Entries {
		out.WriteString("\n" + joinNonEmpty(", ", e.Cause, e.OrderID, e.Product) + "\n")
		for _, line := range []struct{ label, value string }{{"", e.Happened}, {"Next: ", e.Next}, {"", e.Link}} {
			if line.value != "" {
				out.WriteString("  " + line.label + line.value + "\n")
			}
		}
	}
	return out.String()
}
