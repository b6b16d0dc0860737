package web

// checkoutWords are the checkout page's texts in one language. {names} stand for values; {when} and {by} are times,
// which bring their own preposition. A sentence about keys has a form for one and a form for several, parted by |. The
// page promises only what the database and the processor keep.
type checkoutWords struct {
	Title, Heading, Items, Each, Quantity, Update,
	Undo, Total, TaxIncluded, You, Optional, Choose,
	OnFile, Change, KeyGoesTo, DidYouMean, Consent, ConsentWho, Pay, PayNext,
	BackToShop, Accept, Decline, Instead, Low, OutOfStock,
	PartnerDown, Promise, PromiseSome, PromiseAtOnce, PromiseFree, SeveralAll,
	SeveralReady, CheckForm, WrongEmail, WrongCountry, WrongText, Missing, ConsentMissing,
	Changed, NotOpened, NotAllowed, Range, NotSold, TooOften, Refused, ProcessorDown,
	PayingHeading, Paying, Opening, GoOn, Reopen, ProcessingHeading,
	Processing, CheckingHeading, Checking, UsedHeading, Used, ThanksHeading, Thanks, Stands, ToOrder,
	Resend, Resent, ResentOften string
	ExpiredHeading, Expired, CanceledHeading, Canceled string

	Fields map[string]string // labels, by the field's name
}

var englishCheckout = checkoutWords{
	Title:       "Checkout",
	Heading:     "Your order",
	Items:       "What you buy",
	Each:        "each",
	Quantity:    "Quantity",
	Update:      "Update",
	Undo:        "Undo: back to the original item",
	Total:       "Total",
	TaxIncluded: "All taxes are included.",
	You:         "Your details",
	Optional:    "optional",
	Choose:      "Please choose",
	Fields: map[string]string{
		"email":             "E-mail address for the delivery",
		"country":           "Country",
		"firstName":         "First name",
		"lastName":          "Last name",
		"companyName":       "Company",
		"companyIdentifier": "VAT ID, for companies",
		"street":            "Street and number",
		"zipCode":           "Postal code",
		"city":              "Town",
		"phone":             "Telephone",
	},
	OnFile:     "on file",
	Change:     "Change",
	KeyGoesTo:  "Your key goes to|Your keys go to",
	DidYouMean: "Did you mean {address}?",
	Consent: "I want my order to be carried out at once, before the withdrawal period ends, and I know that I " +
		"lose my right of withdrawal when it is delivered.",
	ConsentWho:  "For consumers in the European Union, the European Economic Area and the United Kingdom.",
	Pay:         "Order and pay",
	PayNext:     "The payment page is next. You have {n} minutes to pay there, and you can still turn back.",
	BackToShop:  "Back to the shop",
	Accept:      "Yes, take this instead",
	Decline:     "No, thank you",
	Instead:     "Instead of {name}",
	Low:         "Only {n} left.",
	OutOfStock:  "Out of stock at the moment: it takes longer, and you are not charged if it does not come in time.",
	PartnerDown: "The publisher does not answer at the moment: it may take longer.",
	Promise: "You are charged only when your key is ready: by {by}, or you are not charged.|You are " +
		"charged only when your keys are ready: by {by}, or you are not charged.",
	PromiseSome: "With some means of payment you are charged at once; then you get your key or your " +
		"money back by then.|With some means of payment you are charged at once; then you get " +
		"your keys or your money back by then.",
	PromiseAtOnce: "You get your key, or your money back, by {by}.|You get your keys, or your money back, " +
		"by {by}.",
	PromiseFree: "You get your key by {by}. There is nothing to pay.|You get your keys by {by}. There " +
		"is nothing to pay.",
	SeveralAll:     "Your items are charged together. What cannot be delivered is refunded.",
	SeveralReady:   "You are charged for the items that are ready. What cannot be delivered is not charged.",
	CheckForm:      "Please check what you entered.",
	WrongEmail:     "Please enter an e-mail address such as name@example.com.",
	WrongCountry:   "Please choose your country.",
	WrongText:      "{field}: please use at most 200 ordinary characters.",
	Missing:        "{field}: please fill this in.",
	ConsentMissing: "Please agree to immediate delivery, or we cannot carry out your order now.",
	Changed:        "The page has changed since you opened it. Please check it and try again.",
	NotAllowed:     "This quantity or offer is not available here.",
	Range:          "Please choose a quantity from {min} to {max}.",
	NotSold:        "This is not sold at the moment, because it could not be delivered. Nothing was charged.",
	TooOften:       "The payment was begun too often. Please ask the shop for a new link. Nothing was charged.",
	Refused:        "It cannot be paid at the moment. Nothing was charged. Please tell the shop.",
	NotOpened: "The payment page does not answer at the moment. Nothing was charged, and your order is kept: we go on " +
		"trying, and this page says when it works.",
	ProcessorDown: "The payment page does not answer at the moment. Nothing was charged, and your order is kept: " +
		"please try again in a minute.",
	PayingHeading:   "Your payment is open",
	Paying:          "Please pay {sum} by {by}.",
	Opening:         "We are opening the payment page. This takes a moment.",
	GoOn:            "Go on to payment",
	Reopen:          "Change my order",
	CheckingHeading: "Your payment is being checked",
	Checking: "The sum that was paid is not the one that was asked for. The shop decides whether your order goes " +
		"ahead or all of it goes back to you. You need not do anything: we write to you.",
	ProcessingHeading: "Your payment is being processed",
	Processing: "Your bank is processing the payment, which can take a while. You need not do anything: we write to " +
		"you as soon as it is done.",
	UsedHeading:   "This link has been used",
	Used:          "The order was placed {when}. Its confirmation is in the mailbox of whoever ordered.",
	ThanksHeading: "Thank you for your order",
	Thanks: "Your key comes by e-mail. On the page of your order you see where it stands.|Your " +
		"keys come by e-mail. On the page of your order you see where it stands.",
	Stands:  "On the page of your order you see where it stands.",
	ToOrder: "Go to my order",
	Resend:  "Send me the page of my order again",
	Resent:  "We have sent the address of the order's page to the e-mail address of the order.",
	ResentOften: "It was sent three times today. Please look in the mailbox, and in its spam folder, or try " +
		"again tomorrow.",
	ExpiredHeading:  "This link has expired",
	Expired:         "It ended {when}. Please ask the shop for a new one.",
	CanceledHeading: "This link is no longer valid",
	Canceled:        "Please ask the shop for a new one.",
}

var frenchCheckout = checkoutWords{
	Title:       "Paiement",
	Heading:     "Votre commande",
	Items:       "Vos articles",
	Each:        "pièce",
	Quantity:    "Quantité",
	Update:      "Modifier",
	Undo:        "Annuler : revenir à l’article d’origine",
	Total:       "Total",
	TaxIncluded: "Toutes taxes comprises.",
	You:         "Vos coordonnées",
	Optional:    "facultatif",
	Choose:      "Veuillez choisir",
	Fields: map[string]string{
		"email":             "Adresse e-mail de livraison",
		"country":           "Pays",
		"firstName":         "Prénom",
		"lastName":          "Nom",
		"companyName":       "Société",
		"companyIdentifier": "N° de TVA, pour les sociétés",
		"street":            "Rue et numéro",
		"zipCode":           "Code postal",
		"city":              "Ville",
		"phone":             "Téléphone",
	},
	OnFile:     "déjà connu",
	Change:     "Modifier",
	KeyGoesTo:  "Votre clé sera envoyée à|Vos clés seront envoyées à",
	DidYouMean: "Vouliez-vous dire {address}\u00a0?",
	Consent: "Je demande l’exécution immédiate de ma commande, avant la fin du délai de rétractation, et je sais " +
		"que je perds mon droit de rétractation dès la livraison.",
	ConsentWho: "Pour les consommateurs de l’Union européenne, de l’Espace économique européen et du Royaume-Uni.",
	Pay:        "Commander avec obligation de paiement",
	PayNext:    "La page de paiement vient ensuite. Vous y avez {n} minutes pour payer, ou pour y renoncer.",
	BackToShop: "Retour à la boutique",
	Accept:     "Oui, je préfère celui-ci",
	Decline:    "Non, merci",
	Instead:    "Remplace {name}",
	Low:        "Plus que {n} en stock.",
	OutOfStock: "En rupture de stock pour le moment : cela prendra plus de temps, et vous ne payez rien si la clé " +
		"n’arrive pas à temps.",
	PartnerDown: "L’éditeur ne répond pas pour le moment : cela peut prendre plus de temps.",
	Promise: "Vous n’êtes débité que lorsque votre clé est prête\u00a0: au plus tard {by}, sinon " +
		"vous ne payez rien.|Vous n’êtes débité que lorsque vos clés sont prêtes\u00a0: au " +
		"plus tard {by}, sinon vous ne payez rien.",
	PromiseSome: "Avec certains moyens de paiement, vous êtes débité tout de suite\u00a0; vous recevez " +
		"alors d’ici là votre clé, ou vous êtes remboursé.|Avec certains moyens de paiement, " +
		"vous êtes débité tout de suite\u00a0; vous recevez alors d’ici là vos clés, ou vous " +
		"êtes remboursé.",
	PromiseAtOnce: "Au plus tard {by}, vous recevez votre clé ou vous êtes remboursé.|Au plus tard {by}, " +
		"vous recevez vos clés ou vous êtes remboursé.",
	PromiseFree: "Vous recevez votre clé au plus tard {by}. Il n’y a rien à payer.|Vous recevez vos " +
		"clés au plus tard {by}. Il n’y a rien à payer.",
	SeveralAll:   "Vos articles sont débités ensemble. Ce qui ne peut pas être livré est remboursé.",
	SeveralReady: "Vous payez les articles qui sont prêts. Ce qui ne peut pas être livré n’est pas débité.",
	CheckForm:    "Veuillez vérifier votre saisie.",
	WrongEmail:   "Veuillez saisir une adresse e-mail comme nom@example.com.",
	WrongCountry: "Veuillez choisir votre pays.",
	WrongText:    "{field}\u00a0: au plus 200 caractères ordinaires.",
	Missing:      "{field}\u00a0: veuillez remplir ce champ.",
	ConsentMissing: "Veuillez accepter la livraison immédiate, sinon nous ne pouvons pas exécuter votre commande " +
		"maintenant.",
	Changed:    "La page a changé depuis que vous l’avez ouverte. Veuillez la vérifier et réessayer.",
	NotAllowed: "Cette quantité ou cette offre n’existe pas ici.",
	Range:      "Veuillez choisir une quantité de {min} à {max}.",
	NotSold:    "Ce n’est pas en vente pour le moment, faute de pouvoir être livré. Rien n’a été débité.",
	TooOften: "Le paiement a été commencé trop souvent. Veuillez demander un nouveau lien à la boutique. Rien n’a " +
		"été débité.",
	Refused: "Le paiement n’est pas possible pour le moment. Rien n’a été débité ; veuillez prévenir la boutique.",
	NotOpened: "La page de paiement ne répond pas pour le moment. Rien n’a été débité, et votre commande est " +
		"conservée\u00a0: nous essayons encore, et cette page vous dira quand cela marche.",
	ProcessorDown: "La page de paiement ne répond pas pour le moment. Rien n’a été débité, et votre commande est " +
		"conservée : veuillez réessayer dans une minute.",
	PayingHeading:   "Votre paiement reste à terminer",
	Paying:          "Veuillez payer {sum} au plus tard {by}.",
	Opening:         "Nous ouvrons la page de paiement. Cela prend un instant.",
	GoOn:            "Continuer vers le paiement",
	Reopen:          "Modifier ma commande",
	CheckingHeading: "Votre paiement est en cours de vérification",
	Checking: "La somme payée n’est pas celle qui était demandée. La boutique décide si votre commande est " +
		"acceptée ou si la somme entière vous est rendue. Vous n’avez rien à faire\u00a0: nous vous écrirons.",
	ProcessingHeading: "Votre paiement est en traitement",
	Processing: "Votre banque traite le paiement, ce qui peut prendre un moment. Vous n’avez rien à faire : nous " +
		"vous écrirons dès que ce sera fait.",
	UsedHeading: "Ce lien a été utilisé",
	Used: "La commande a été passée {when}. Sa confirmation est dans la boîte aux lettres de la personne qui " +
		"a commandé.",
	ThanksHeading: "Merci pour votre commande",
	Thanks: "Votre clé arrive par e-mail. La page de votre commande vous dit où elle en est.|Vos " +
		"clés arrivent par e-mail. La page de votre commande vous dit où elle en est.",
	Stands:  "La page de votre commande vous dit où elle en est.",
	ToOrder: "Voir ma commande",
	Resend:  "Renvoyez-moi la page de ma commande",
	Resent:  "Nous avons envoyé l’adresse de la page de la commande à l’adresse e-mail de la commande.",
	ResentOften: "Elle a été envoyée trois fois aujourd’hui. Regardez dans la boîte aux lettres, et dans ses " +
		"indésirables, ou réessayez demain.",
	ExpiredHeading:  "Ce lien a expiré",
	Expired:         "Il a pris fin {when}. Veuillez en demander un nouveau à la boutique.",
	CanceledHeading: "Ce lien n’est plus valable",
	Canceled:        "Veuillez en demander un nouveau à la boutique.",
}

var germanCheckout = checkoutWords{
	Title:       "Kasse",
	Heading:     "Ihre Bestellung",
	Items:       "Was Sie kaufen",
	Each:        "pro Stück",
	Quantity:    "Anzahl",
	Update:      "Ändern",
	Undo:        "Rückgängig: zurück zum ursprünglichen Artikel",
	Total:       "Gesamt",
	TaxIncluded: "Alle Preise enthalten die Steuern.",
	You:         "Ihre Angaben",
	Optional:    "freiwillig",
	Choose:      "Bitte wählen",
	Fields: map[string]string{
		"email":             "E-Mail-Adresse für die Lieferung",
		"country":           "Land",
		"firstName":         "Vorname",
		"lastName":          "Nachname",
		"companyName":       "Firma",
		"companyIdentifier": "USt-IdNr., für Firmen",
		"street":            "Straße und Hausnummer",
		"zipCode":           "Postleitzahl",
		"city":              "Ort",
		"phone":             "Telefon",
	},
	OnFile:     "liegt vor",
	Change:     "Ändern",
	KeyGoesTo:  "Ihr Schlüssel geht an|Ihre Schlüssel gehen an",
	DidYouMean: "Meinten Sie {address}?",
	Consent: "Ich möchte, dass meine Bestellung sofort ausgeführt wird, vor Ende der Widerrufsfrist, und ich " +
		"weiß, dass mein Widerrufsrecht mit der Lieferung erlischt.",
	ConsentWho: "Für Verbraucherinnen und Verbraucher in der Europäischen Union, im Europäischen Wirtschaftsraum " +
		"und im Vereinigten Königreich.",
	Pay:         "Zahlungspflichtig bestellen",
	PayNext:     "Als Nächstes kommt die Zahlungsseite. Dort haben Sie {n} Minuten Zeit und können noch umkehren.",
	BackToShop:  "Zurück zum Shop",
	Accept:      "Ja, lieber das",
	Decline:     "Nein, danke",
	Instead:     "Statt {name}",
	Low:         "Nur noch {n} verfügbar.",
	OutOfStock:  "Zurzeit nicht vorrätig: Es dauert länger, und Sie zahlen nichts, wenn es nicht rechtzeitig kommt.",
	PartnerDown: "Der Hersteller antwortet zurzeit nicht: Es kann länger dauern.",
	Promise: "Sie zahlen erst, wenn Ihr Schlüssel da ist: bis {by}, oder Sie zahlen nichts.|Sie " +
		"zahlen erst, wenn Ihre Schlüssel da sind: bis {by}, oder Sie zahlen nichts.",
	PromiseSome: "Bei manchen Zahlungsarten zahlen Sie sofort; dann bekommen Sie bis dahin Ihren " +
		"Schlüssel oder Ihr Geld zurück.|Bei manchen Zahlungsarten zahlen Sie sofort; dann " +
		"bekommen Sie bis dahin Ihre Schlüssel oder Ihr Geld zurück.",
	PromiseAtOnce: "Sie bekommen bis {by} Ihren Schlüssel oder Ihr Geld zurück.|Sie bekommen bis {by} " +
		"Ihre Schlüssel oder Ihr Geld zurück.",
	PromiseFree: "Sie bekommen Ihren Schlüssel bis {by}. Es kostet nichts.|Sie bekommen Ihre Schlüssel " +
		"bis {by}. Es kostet nichts.",
	SeveralAll:   "Alle Artikel werden zusammen bezahlt. Was nicht geliefert werden kann, wird erstattet.",
	SeveralReady: "Sie zahlen für die Artikel, die da sind. Was nicht geliefert werden kann, zahlen Sie nicht.",
	CheckForm:    "Bitte prüfen Sie Ihre Angaben.",
	WrongEmail:   "Bitte geben Sie eine E-Mail-Adresse wie name@example.com an.",
	WrongCountry: "Bitte wählen Sie Ihr Land.",
	WrongText:    "{field}: bitte höchstens 200 gewöhnliche Zeichen.",
	Missing:      "{field}: bitte ausfüllen.",
	ConsentMissing: "Bitte stimmen Sie der sofortigen Lieferung zu, sonst können wir Ihre Bestellung jetzt nicht " +
		"ausführen.",
	Changed: "Die Seite hat sich geändert, seit Sie sie geöffnet haben. Bitte prüfen Sie sie und versuchen Sie " +
		"es noch einmal.",
	NotAllowed: "Diese Anzahl oder dieses Angebot gibt es hier nicht.",
	Range:      "Bitte wählen Sie eine Anzahl von {min} bis {max}.",
	NotSold:    "Das wird zurzeit nicht verkauft, weil es nicht geliefert werden könnte. Es wurde nichts abgebucht.",
	TooOften: "Die Zahlung wurde zu oft begonnen. Bitte fragen Sie den Shop nach einem neuen Link. Es wurde " +
		"nichts abgebucht.",
	Refused: "Es kann zurzeit nicht bezahlt werden. Es wurde nichts abgebucht. Bitte sagen Sie es dem Shop.",
	NotOpened: "Die Zahlungsseite antwortet zurzeit nicht. Es wurde nichts abgebucht, und Ihre Bestellung bleibt " +
		"erhalten: Wir versuchen es weiter, und diese Seite sagt, wenn es geht.",
	ProcessorDown: "Die Zahlungsseite antwortet zurzeit nicht. Es wurde nichts abgebucht, und Ihre Bestellung bleibt " +
		"erhalten: Bitte versuchen Sie es in einer Minute noch einmal.",
	PayingHeading:   "Ihre Zahlung ist offen",
	Paying:          "Bitte zahlen Sie {sum} bis {by}.",
	Opening:         "Wir öffnen die Zahlungsseite. Das dauert einen Moment.",
	GoOn:            "Weiter zur Zahlung",
	Reopen:          "Bestellung ändern",
	CheckingHeading: "Ihre Zahlung wird geprüft",
	Checking: "Gezahlt wurde ein anderer Betrag als der verlangte. Der Shop entscheidet, ob Ihre Bestellung " +
		"angenommen wird oder der ganze Betrag an Sie zurückgeht. Sie müssen nichts tun: Wir schreiben Ihnen.",
	ProcessingHeading: "Ihre Zahlung wird bearbeitet",
	Processing: "Ihre Bank bearbeitet die Zahlung, was eine Weile dauern kann. Sie müssen nichts tun: Wir schreiben " +
		"Ihnen, sobald es so weit ist.",
	UsedHeading:   "Dieser Link wurde benutzt",
	Used:          "Die Bestellung ging {when} ein. Ihre Bestätigung ist im Postfach der Person, die bestellt hat.",
	ThanksHeading: "Vielen Dank für Ihre Bestellung",
	Thanks: "Ihr Schlüssel kommt per E-Mail. Auf der Seite Ihrer Bestellung sehen Sie, wie es " +
		"steht.|Ihre Schlüssel kommen per E-Mail. Auf der Seite Ihrer Bestellung sehen Sie, " +
		"wie es steht.",
	Stands:  "Auf der Seite Ihrer Bestellung sehen Sie, wie es steht.",
	ToOrder: "Zu meiner Bestellung",
	Resend:  "Seite meiner Bestellung noch einmal senden",
	Resent:  "Wir haben die Adresse der Bestellseite an die E-Mail-Adresse der Bestellung gesendet.",
	ResentOften: "Sie wurde heute dreimal gesendet. Bitte sehen Sie im Postfach nach, auch unter Spam, oder versuchen " +
		"Sie es morgen noch einmal.",
	ExpiredHeading:  "Dieser Link ist abgelaufen",
	Expired:         "Er endete {when}. Bitte fragen Sie den Shop nach einem neuen.",
	CanceledHeading: "Dieser Link gilt nicht mehr",
	Canceled:        "Bitte fragen Sie den Shop nach einem neuen.",
}
