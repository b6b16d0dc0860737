package mail

import "fmt"

// RenderAddressChanged renders the mail that tells an order's old address of another one, which is shown as masked. It
// contains no key, no attachment and no link to the order page, whatever the Content holds: it may reach somebody else.
// The error is KindInvalid: a wrong envelope.
func RenderAddressChanged(c Content, masked string) (Message, error) {
	w := wordsFor(c.Locale)
	c.OrderPage, c.Replaced = "", nil
	f := newFrame(w, orderOnly(c))
	order := oneLine(c.OrderID)
	f.Paragraphs = []string{fmt.Sprintf(w.addressChanged.text, order, oneLine(masked)), w.addressChanged.wrong}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(w.addressChanged.subject, order))
}

// addressWords take the order in the subject, and order and address in the text.
type addressWords struct{ subject, text, wrong string }

var englishAddress = addressWords{
	subject: "Your order %s: its e-mails go to another address now",
	text: "An e-mail about your order %s to this address was returned to us. Another address has been given since, " +
		"%s, and what we send about the order goes there from now on.",
	wrong: "If that was you, you do not have to do anything. If it was not, please write to us at once.",
}

var frenchAddress = addressWords{
	subject: "Votre commande %s\u00a0: ses e-mails vont désormais à une autre adresse",
	text: "Un e-mail sur votre commande %s envoyé à cette adresse nous est revenu. Une autre adresse a été indiquée " +
		"depuis, %s, et ce que nous envoyons au sujet de la commande y va désormais.",
	wrong: "Si c'était vous, vous n'avez rien à faire. Sinon, écrivez-nous sans attendre.",
}

var germanAddress = addressWords{
	subject: "Ihre Bestellung %s: E-Mails dazu gehen jetzt an eine andere Adresse",
	text: "Eine E-Mail zu Ihrer Bestellung %s an diese Adresse kam zu uns zurück. Seitdem wurde eine andere Adresse " +
		"angegeben, %s, und was wir zu der Bestellung senden, geht von nun an dorthin.",
	wrong: "Wenn Sie das waren, müssen Sie nichts tun. Wenn nicht, schreiben Sie uns bitte sofort.",
}
