package mail

import (
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/local"
)

// words is the frame in one language. The comments say what a format takes; every sentence fits one key or many.
type words struct {
	*local.Format

	lang                                                 string
	hello, helloNobody                                   string // hello takes the name
	keySubject, keysSubject, keyText, keepMail           string // the default Template
	howTo, download                                      string // links of the product in it
	longMail                                             string // of a mail that mailboxes cut off; a link follows
	onPage, onPageWhy, onPageButton                      string // onPage takes the product
	privacy, imprint                                     string
	yourKey                                              string // heads keys that the template forgot
	order, ordered, product, quantity, total, link, file string
	tracking                                             string // heads product and key of a dynamic URL
	replaced                                             string // heads a key that no longer works
	colon                                                string // what stands between a label and its value
	page                                                 string
	signature                                            string
	canceledSubject, canceledFreeSubject                 string // take the order
	sorry                                                string // takes product and order
	refund, refundAmount, refundFree                     string // refundAmount takes the amount
	uncharged                                            string // of a payment that was authorized and never taken
	patience, details                                    string
	reasons                                              map[Reason]string
	notices                                              map[keyturn.OperationName]noticeWords
	validUntil                                           string
	orders                                               *orderWords
	and                                                  string
	withdrew, withdrawnSubject                           string // product and order; order
	addressChanged                                       addressWords
}

var english = words{
	orders: &englishOrders, addressChanged: englishAddress, and: "and",
	withdrew:         "You withdrew from the contract for %s of your order %s.",
	withdrawnSubject: "Your order %s: your money is on its way back after your withdrawal",
	notices:          englishNotices, validUntil: "Valid until",
	Format: local.Languages["en"], lang: "en", colon: ": ", hello: "Hello %s,", helloNobody: "Hello,",
	keySubject: "Your {PROGRAM_NAME} key", keysSubject: "Your {PROGRAM_NAME} keys",
	keyText:  "Thank you for your order. Here is what you need to activate {PROGRAM_NAME}:\n\n{KEY}",
	keepMail: "Please keep this e-mail in a safe place.",
	howTo:    "How to activate it", download: "Download",
	longMail: "This e-mail is long, and your mailbox may cut it off. Everything in it is on the page of your order:",
	onPage:   "Thank you for your order. What you need to activate %s is ready, on the page of your order.",
	onPageWhy: "It is too large for an e-mail, or has signs that e-mails do not carry unchanged. On the page you can " +
		"copy it, or save it as a file.",
	onPageButton: "Open the page of my order",
	privacy:      "Privacy", imprint: "Legal notice",
	yourKey: "Here is what you need to activate your product:",
	details: "Order details", order: "Order", ordered: "Date", product: "Product", quantity: "Quantity", total: "Total",
	tracking: "Tracking number",
	replaced: "Replaced, no longer valid",
	link:     "Link", file: "Attached file", page: "Your order page:", signature: "Kind regards,",
	canceledSubject:     "Your order %s: we could not deliver, your money is on its way back",
	canceledFreeSubject: "Your order %s: we could not deliver",
	sorry:               "We are sorry: we could not deliver %s from your order %s.",
	refund:              "We have canceled it and are sending your money back to the means of payment you used.",
	refundAmount:        "We have canceled it and are sending %s back to the means of payment you used.",
	refundFree:          "We have canceled it. You paid nothing for it, so there is nothing to pay back.",
	uncharged: "We have canceled it, and you were not charged. Your bank may show the amount as pending for some days; " +
		"it is never taken.",
	patience: "Depending on your bank, it can take a few days until you see it. You do not have to do " +
		"anything.",
	reasons: map[Reason]string{
		ReasonOutOfStock: "There was no key left for it, and none arrived in time.",
		ReasonSupplier:   "The maker of the product could not give us a key in time.",
		ReasonRequested:  "This was done on request.",
		ReasonPayment:    "The payment could not be completed in time.",
		ReasonOthers:     "The other items of your order were ready first.",
	},
}

var french = words{
	orders: &frenchOrders, addressChanged: frenchAddress, and: "et",
	withdrew:         "Vous vous êtes rétracté du contrat pour %s de votre commande %s.",
	withdrawnSubject: "Votre commande %s\u00a0: vous êtes remboursé après votre rétractation",
	notices:          frenchNotices, validUntil: "Valable jusqu’au",
	Format: local.Languages["fr"], lang: "fr", colon: "\u00a0: ", hello: "Bonjour %s,", helloNobody: "Bonjour,",
	keySubject: "Votre clé {PROGRAM_NAME}", keysSubject: "Vos clés {PROGRAM_NAME}",
	keyText:  "Merci pour votre commande. Voici de quoi activer {PROGRAM_NAME}\u00a0:\n\n{KEY}",
	keepMail: "Conservez cet e-mail en lieu sûr.",
	howTo:    "Comment l’activer", download: "Télécharger",
	longMail: "Cet e-mail est long, et votre messagerie peut le couper. Tout ce qu’il contient est sur la page de " +
		"votre commande\u00a0:",
	onPage: "Merci pour votre commande. De quoi activer %s est prêt, sur la page de votre commande.",
	onPageWhy: "C’est trop volumineux pour un e-mail, ou contient des signes que les e-mails ne transmettent pas tels " +
		"quels. Sur la page, vous pouvez le copier ou l’enregistrer dans un fichier.",
	onPageButton: "Ouvrir la page de ma commande",
	privacy:      "Confidentialité", imprint: "Mentions légales",
	yourKey: "Voici de quoi activer votre produit\u00a0:",
	details: "Détails de la commande", order: "Commande", ordered: "Date", product: "Produit", quantity: "Quantité",
	total:    "Total",
	tracking: "Numéro de suivi",
	replaced: "Remplacée, plus valable",
	link:     "Lien", file: "Fichier joint", page: "La page de votre commande\u00a0:", signature: "Cordialement,",
	canceledSubject:     "Votre commande %s\u00a0: livraison impossible, vous êtes remboursé",
	canceledFreeSubject: "Votre commande %s\u00a0: livraison impossible",
	sorry:               "Nous sommes désolés\u00a0: nous n’avons pas pu livrer %s de votre commande %s.",
	refund:              "Nous l’avons annulé et nous vous remboursons sur le moyen de paiement que vous avez utilisé.",
	refundAmount:        "Nous l’avons annulé et nous vous remboursons %s sur le moyen de paiement que vous avez utilisé.",
	refundFree:          "Nous l’avons annulé. Vous n’aviez rien payé\u00a0: il n’y a rien à rembourser.",
	uncharged: "Nous l’avons annulé, et vous n’avez pas été débité. Votre banque peut afficher le montant comme en " +
		"attente pendant quelques jours\u00a0; il n’est jamais prélevé.",
	patience: "Selon votre banque, quelques jours peuvent passer avant que vous ne le voyiez. Vous n’avez rien " +
		"à faire.",
	reasons: map[Reason]string{
		ReasonOutOfStock: "Il ne restait plus de clé, et aucune n’est arrivée à temps.",
		ReasonSupplier:   "L’éditeur du produit n’a pas pu nous fournir de clé à temps.",
		ReasonRequested:  "Cette annulation a été demandée.",
		ReasonPayment:    "Le paiement n’a pas pu être mené à bien à temps.",
		ReasonOthers:     "Les autres articles de votre commande étaient prêts avant.",
	},
}

var german = words{
	orders: &germanOrders, addressChanged: germanAddress, and: "und",
	withdrew:         "Sie haben den Vertrag über %s aus Ihrer Bestellung %s widerrufen.",
	withdrawnSubject: "Ihre Bestellung %s: Sie erhalten nach Ihrem Widerruf Ihr Geld zurück",
	notices:          germanNotices, validUntil: "Gültig bis",
	Format: local.Languages["de"], lang: "de", colon: ": ", hello: "Guten Tag %s,", helloNobody: "Guten Tag,",
	keySubject: "Ihr Schlüssel für {PROGRAM_NAME}", keysSubject: "Ihre Schlüssel für {PROGRAM_NAME}",
	keyText:  "Vielen Dank für Ihre Bestellung. Damit aktivieren Sie {PROGRAM_NAME}:\n\n{KEY}",
	keepMail: "Bitte bewahren Sie diese E-Mail gut auf.",
	howTo:    "So aktivieren Sie es", download: "Herunterladen",
	longMail: "Diese E-Mail ist lang, und Ihr Postfach schneidet sie vielleicht ab. Alles, was darin steht, steht auf " +
		"der Seite Ihrer Bestellung:",
	onPage: "Vielen Dank für Ihre Bestellung. Was Sie zum Aktivieren von %s brauchen, steht auf der Seite Ihrer " +
		"Bestellung.",
	onPageWhy: "Es ist zu groß für eine E-Mail oder enthält Zeichen, die E-Mails nicht unverändert befördern. Auf der " +
		"Seite können Sie es kopieren oder als Datei speichern.",
	onPageButton: "Die Seite meiner Bestellung öffnen",
	privacy:      "Datenschutz", imprint: "Impressum",
	yourKey: "Damit aktivieren Sie Ihr Produkt:",
	details: "Ihre Bestellung", order: "Bestellung", ordered: "Datum", product: "Produkt", quantity: "Menge",
	total:    "Summe",
	tracking: "Sendungsnummer",
	replaced: "Ersetzt, nicht mehr gültig",
	link:     "Link", file: "Angehängte Datei", page: "Die Seite zu Ihrer Bestellung:",
	signature:           "Mit freundlichen Grüßen",
	canceledSubject:     "Ihre Bestellung %s: nicht lieferbar, Sie erhalten Ihr Geld zurück",
	canceledFreeSubject: "Ihre Bestellung %s: nicht lieferbar",
	sorry:               "Es tut uns leid: Wir konnten %s aus Ihrer Bestellung %s nicht liefern.",
	refund: "Wir haben den Posten storniert und erstatten den Betrag auf das Zahlungsmittel, das Sie benutzt " +
		"haben.",
	refundAmount: "Wir haben den Posten storniert und erstatten %s auf das Zahlungsmittel, das Sie benutzt haben.",
	refundFree:   "Wir haben den Posten storniert. Er hat nichts gekostet, also gibt es nichts zu erstatten.",
	uncharged: "Wir haben den Posten storniert, und es wurde nichts abgebucht. Ihre Bank kann den Betrag einige Tage " +
		"als vorgemerkt zeigen; er wird nie abgebucht.",
	patience: "Je nach Bank kann es einige Tage dauern, bis Sie das Geld sehen. Sie müssen nichts tun.",
	reasons: map[Reason]string{
		ReasonOutOfStock: "Es war kein Schlüssel mehr vorhanden, und rechtzeitig kam keiner nach.",
		ReasonSupplier:   "Der Hersteller konnte uns nicht rechtzeitig einen Schlüssel geben.",
		ReasonRequested:  "Dies geschah auf Wunsch.",
		ReasonPayment:    "Die Zahlung konnte nicht rechtzeitig abgeschlossen werden.",
		ReasonOthers:     "Die anderen Artikel Ihrer Bestellung waren vorher da.",
	},
}

// wordsFor returns the words for a locale such as fr-FR, or English.
func wordsFor(locale string) *words {
	language, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	switch strings.ToLower(language) {
	case "fr":
		return &french
	case "de":
		return &german
	}
	return &english
}

// subjectOf is the subject of an e-mail with keys.
func (w *words) subjectOf(c Content) string {
	if len(c.Keys) > 1 {
		return w.keysSubject
	}
	return w.keySubject
}

// withDefaults fills in what the merchant left out.
func (t Template) withDefaults(w *words, c Content) Template {
	if strings.TrimSpace(t.Subject) == "" {
		t.Subject = w.subjectOf(c)
	}
	if strings.TrimSpace(t.Text) != "" {
		return t
	}
	var links []string
	if oneLine(c.InstructionsURL) != "" {
		links = append(links, w.howTo+w.colon+"{URL}")
	}
	if oneLine(c.DownloadURL) != "" {
		links = append(links, w.download+w.colon+"{URL_FULL}")
	}
	t.Text = joinNonEmpty("\n\n", w.keyText, strings.Join(links, "\n"), w.keepMail)
	return t
}
