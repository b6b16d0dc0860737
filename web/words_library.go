package web

import "keyturn.dev/keyturn"

// libraryWords are the texts of the library in one language. {by} and {when} are times.
type libraryWords struct {
	Title, All, Ask, Email, Submit, WrongAddress string
	SentTitle, Sent, SentLimits                  string
	OpenText, Open, LinkOver, Over               string
	Until                                        string // {by}
	Nothing                                      string
	Quantity, License                            string
	Licenses                                     map[keyturn.LicenseStatus]string
	RunningUntil                                 string // {by}
	ToKeys, Instructions, Download               string
	File                                         string // {n}
	More                                         string // {n}
	ToOrder, Receipt, Back                       string
	Pages, Newest, Older                         string
	Close, ClosedTitle, Closed                   string

	Order, Ordered, For, Item, Price, NoInvoice                      string
	Paid, NotYetCharged, NotCharged, Refunded, Returning, RefundedOn string // {amount} {when}
}

var englishLibrary = libraryWords{
	Title: "Your purchases", All: "All your purchases",
	Ask: "See everything that you have bought with an e-mail address: orders, licences, files and receipts. We send a " +
		"link to the address.",
	Email: "E-mail address", Submit: "Send me the link",
	WrongAddress: "Please enter an e-mail address such as name@example.com.",
	SentTitle:    "Look into your mailbox",
	Sent: "If something was bought with this address, a link is on its way to it. The link works once, within " +
		"15 minutes.",
	SentLimits: "Nothing comes? Look into your spam folder, and try the address at which you got your keys. At most " +
		"five links a day are sent to one address.",
	OpenText: "Press the button to see your purchases. This link works once.", Open: "Show my purchases",
	LinkOver: "This link was used already, or its time is over. You can ask for another one.",
	Over:     "Your purchases are closed now, so that nobody else sees them here. You can ask for another link.",
	Until:    "You can look until {by}. Your orders have pages of their own, which stay.",
	Nothing:  "There are no purchases with your e-mail address any more.",
	Quantity: "Quantity", License: "Licence",
	Licenses: map[keyturn.LicenseStatus]string{
		keyturn.LicenseRunning: "running", keyturn.LicensePaused: "paused", keyturn.LicenseCanceled: "canceled",
		keyturn.LicenseExpired: "expired",
	},
	RunningUntil: "runs until {by}",
	ToKeys:       "Keys and links", Instructions: "How to activate it", Download: "Download the product",
	File: "Download file {n}", More: "{n} more on the page of the order",
	ToOrder: "Open the order", Receipt: "Receipt", Back: "Back to your purchases",
	Pages: "Pages of your purchases", Newest: "Newest", Older: "Older",
	Close: "Close", ClosedTitle: "Closed", Closed: "Nobody can see your purchases in this browser any more.",
	Order: "Order", Ordered: "Date", For: "For", Item: "Item", Price: "Price",
	NoInvoice: "Prices include all taxes. This receipt is no invoice.",
	Paid:      "Paid", NotYetCharged: "Not charged yet", NotCharged: "Not charged", Refunded: "Refunded",
	Returning: "On its way back", RefundedOn: "Refunded on {when}: {amount}",
}

var frenchLibrary = libraryWords{
	Title: "Vos achats", All: "Tous vos achats",
	Ask: "Voyez tout ce que vous avez acheté avec une adresse e-mail\u00a0: articles, licences, fichiers et reçus. " +
		"Nous envoyons un lien à cette adresse.",
	Email: "Adresse e-mail", Submit: "M’envoyer le lien",
	WrongAddress: "Veuillez saisir une adresse e-mail comme nom@exemple.fr.",
	SentTitle:    "Regardez dans votre messagerie",
	Sent: "Si quelque chose a été acheté avec cette adresse, un lien est en route. Il fonctionne une seule fois, dans " +
		"les 15\u00a0minutes.",
	SentLimits: "Rien n’arrive\u00a0? Regardez dans les indésirables, et essayez l’adresse à laquelle vous avez reçu " +
		"vos clés. Cinq liens par jour au plus sont envoyés à une adresse.",
	OpenText: "Appuyez sur le bouton pour voir vos achats. Ce lien fonctionne une seule fois.",
	Open:     "Voir mes achats",
	LinkOver: "Ce lien a déjà servi, ou il est trop tard. Vous pouvez en demander un autre.",
	Over: "Vos achats sont maintenant fermés, pour que personne d’autre ne les voie ici. Vous pouvez demander un " +
		"autre lien.",
	Until:    "Fin de l’affichage\u00a0: {by}. Chaque commande a sa propre page, qui reste.",
	Nothing:  "Il n’y a plus d’achats avec votre adresse e-mail.",
	Quantity: "Quantité", License: "Licence",
	Licenses: map[keyturn.LicenseStatus]string{
		keyturn.LicenseRunning: "en cours", keyturn.LicensePaused: "suspendue", keyturn.LicenseCanceled: "résiliée",
		keyturn.LicenseExpired: "expirée",
	},
	RunningUntil: "en cours, fin\u00a0: {by}",
	ToKeys:       "Clés et liens", Instructions: "Comment l’activer", Download: "Télécharger le produit",
	File: "Télécharger le fichier {n}", More: "{n} de plus sur la page de la commande",
	ToOrder: "Ouvrir la commande", Receipt: "Reçu", Back: "Retour à vos achats",
	Pages: "Pages de vos achats", Newest: "Plus récents", Older: "Plus anciens",
	Close: "Fermer", ClosedTitle: "Fermé", Closed: "Personne ne peut plus voir vos achats dans ce navigateur.",
	Order: "Commande", Ordered: "Date", For: "Pour", Item: "Article", Price: "Prix",
	NoInvoice: "Les prix comprennent toutes les taxes. Ce reçu n’est pas une facture.",
	Paid:      "Payé", NotYetCharged: "Pas encore débité", NotCharged: "Non débité", Refunded: "Remboursé",
	Returning: "Remboursement en cours", RefundedOn: "Remboursé le {when}\u00a0: {amount}",
}

var germanLibrary = libraryWords{
	Title: "Ihre Einkäufe", All: "Alle Ihre Einkäufe",
	Ask: "Sehen Sie alles, was Sie mit einer E-Mail-Adresse gekauft haben: Bestellungen, Lizenzen, Dateien und " +
		"Belege. Wir senden einen Link an die Adresse.",
	Email: "E-Mail-Adresse", Submit: "Link senden",
	WrongAddress: "Bitte geben Sie eine E-Mail-Adresse wie name@beispiel.de ein.",
	SentTitle:    "Sehen Sie in Ihr Postfach",
	Sent: "Wenn mit dieser Adresse etwas gekauft wurde, ist ein Link dorthin unterwegs. Er gilt einmal, innerhalb von " +
		"15\u00a0Minuten.",
	SentLimits: "Es kommt nichts? Sehen Sie im Spam-Ordner nach, und versuchen Sie die Adresse, an die Ihre Schlüssel " +
		"gingen. An eine Adresse gehen höchstens fünf Links am Tag.",
	OpenText: "Drücken Sie auf den Knopf, um Ihre Einkäufe zu sehen. Dieser Link gilt einmal.",
	Open:     "Meine Einkäufe zeigen",
	LinkOver: "Dieser Link wurde schon benutzt, oder seine Zeit ist um. Sie können einen neuen anfordern.",
	Over: "Ihre Einkäufe sind jetzt geschlossen, damit niemand sonst sie hier sieht. Sie können einen neuen Link " +
		"anfordern.",
	Until:    "Sie können sie ansehen: bis {by}. Ihre Bestellungen haben eigene Seiten, die bleiben.",
	Nothing:  "Mit Ihrer E-Mail-Adresse gibt es keine Einkäufe mehr.",
	Quantity: "Menge", License: "Lizenz",
	Licenses: map[keyturn.LicenseStatus]string{
		keyturn.LicenseRunning: "läuft", keyturn.LicensePaused: "ruht", keyturn.LicenseCanceled: "beendet",
		keyturn.LicenseExpired: "abgelaufen",
	},
	RunningUntil: "läuft bis {by}",
	ToKeys:       "Schlüssel und Links", Instructions: "So aktivieren Sie es", Download: "Produkt herunterladen",
	File: "Datei {n} herunterladen", More: "{n} weitere auf der Seite der Bestellung",
	ToOrder: "Bestellung öffnen", Receipt: "Beleg", Back: "Zurück zu Ihren Einkäufen",
	Pages: "Seiten Ihrer Einkäufe", Newest: "Neueste", Older: "Ältere",
	Close: "Schließen", ClosedTitle: "Geschlossen",
	Closed: "In diesem Browser kann niemand mehr Ihre Einkäufe sehen.",
	Order:  "Bestellung", Ordered: "Datum", For: "Für", Item: "Artikel", Price: "Preis",
	NoInvoice: "Die Preise enthalten alle Steuern. Dieser Beleg ist keine Rechnung.",
	Paid:      "Bezahlt", NotYetCharged: "Noch nicht abgebucht", NotCharged: "Nicht abgebucht", Refunded: "Erstattet",
	Returning: "Unterwegs zu Ihnen zurück", RefundedOn: "Erstattet am {when}: {amount}",
}
