package web

// soldWords are the order page's texts about an order that a checkout link made, in one language. {when} is a time and
// {day} the last day.
type soldWords struct {
	Withdraw, Ask, MeansAll, MeansUndelivered, Confirm, Keep string
	Until                                                    string // {day}
	Withdrawn                                                string // {when}
	Nothing                                                  string // left to withdraw from
	Again, AgainText                                         string // {day}
	NotAgain                                                 string
}

var englishSold = soldWords{
	Withdraw: "Withdraw from the contract here",
	Ask:      "Withdraw from the contract of order {order}?",
	MeansAll: "All of the order is canceled: what was charged goes back to the means of payment you used, and keys that " +
		"you have stop working. We confirm your withdrawal by e-mail, with its date and time.",
	MeansUndelivered: "What is not delivered yet is canceled: what was charged for it goes back to the means of payment " +
		"you used. We confirm your withdrawal by e-mail, with its date and time.",
	Confirm: "Confirm withdrawal", Keep: "No, keep my order",
	Until:     "You can withdraw from the contract until {day}, without giving a reason.",
	Withdrawn: "You withdrew from the contract {when}.",
	Nothing:   "There is nothing left to withdraw from. Below you see where each item stands.",
	Again:     "Order again", AgainText: "You can order the same at the same price until {day}.",
	NotAgain: "This cannot be ordered again here. Please ask the shop.",
}

var frenchSold = soldWords{
	Withdraw: "Se rétracter du contrat ici",
	Ask:      "Se rétracter du contrat de la commande {order}\u00a0?",
	MeansAll: "Toute la commande est annulée\u00a0: ce qui a été débité vous est remboursé sur le moyen de paiement que " +
		"vous avez utilisé, et les clés que vous avez cessent de fonctionner. Nous confirmons votre rétractation par " +
		"e-mail, avec sa date et son heure.",
	MeansUndelivered: "Ce qui n’est pas encore livré est annulé\u00a0: ce qui a été débité pour cela vous est remboursé " +
		"sur le moyen de paiement que vous avez utilisé. Nous confirmons votre rétractation par e-mail, avec sa date et " +
		"son heure.",
	Confirm: "Confirmer la rétractation", Keep: "Non, garder ma commande",
	Until:     "Vous pouvez vous rétracter du contrat jusqu’au {day} inclus, sans donner de motif.",
	Withdrawn: "Vous vous êtes rétracté du contrat {when}.",
	Nothing:   "Il ne reste rien dont vous rétracter. Ci-dessous, vous voyez où en est chaque article.",
	Again:     "Commander à nouveau",
	AgainText: "Vous pouvez commander la même chose au même prix jusqu’au {day} inclus.",
	NotAgain:  "Cela ne peut pas être commandé à nouveau ici. Veuillez vous adresser à la boutique.",
}

var germanSold = soldWords{
	Withdraw: "Hier den Vertrag widerrufen",
	Ask:      "Den Vertrag zur Bestellung {order} widerrufen?",
	MeansAll: "Die ganze Bestellung wird storniert: Was abgebucht wurde, erstatten wir auf das Zahlungsmittel, das Sie " +
		"benutzt haben, und Schlüssel, die Sie haben, gelten nicht mehr. Wir bestätigen Ihren Widerruf per E-Mail, mit " +
		"Datum und Uhrzeit.",
	MeansUndelivered: "Was noch nicht geliefert ist, wird storniert: Was dafür abgebucht wurde, erstatten wir auf das " +
		"Zahlungsmittel, das Sie benutzt haben. Wir bestätigen Ihren Widerruf per E-Mail, mit Datum und Uhrzeit.",
	Confirm: "Widerruf bestätigen", Keep: "Nein, Bestellung behalten",
	Until:     "Sie können den Vertrag bis einschließlich {day} widerrufen, ohne einen Grund zu nennen.",
	Withdrawn: "Sie haben den Vertrag {when} widerrufen.",
	Nothing:   "Es gibt nichts mehr zu widerrufen. Hier sehen Sie, wie es um jeden Artikel steht.",
	Again:     "Noch einmal bestellen",
	AgainText: "Sie können dasselbe bis einschließlich {day} zum selben Preis noch einmal bestellen.",
	NotAgain:  "Das kann hier nicht noch einmal bestellt werden. Bitte fragen Sie den Shop.",
}
