package web

// addressWords are the texts about an e-mail that came back, and about the address that a customer gives in its place.
type addressWords struct {
	status, summary           string
	cameBack, cameBackFrom    string // {address}
	canOpen, asked            string
	sentTo, onItsWay          string // {address}, {when}; {address}
	question, label, button   string
	questionOrder             string // of an e-mail about the order as a whole
	buttonOrder               string
	done, waits               string
	same, wrong, enough, none string
}

var englishAddress = addressWords{
	status: "E-mail came back",
	summary: "Your key is here, but our e-mail came back. Below you see what you can do.|Your keys are here, but our " +
		"e-mail came back. Below you see what you can do.",
	cameBack:     "Our e-mail came back: it did not reach you.",
	cameBackFrom: "Our e-mail to {address} came back: it did not reach you.",
	canOpen:      "You can open your key here.|You can open your keys here.",
	asked:        "You gave another address. The shop looks at it before anything is sent there.",
	sentTo:       "Sent to {address} {when}.", onItsWay: "On its way to {address}.",
	questionOrder: "Is there a mistake in the address? Give the right one: what we send about this order goes " +
		"there from now on.",
	buttonOrder: "Use this address",
	question: "Is there a mistake in the address? Give the right one, and we send the same key there.|Is there a " +
		"mistake in the address? Give the right one, and we send the same keys there.",
	label: "E-mail address", button: "Send it there",
	done: "We are sending the e-mail to the new address. It can take a few minutes. The old address is told of it.",
	waits: "We have your new address. The shop looks at it before anything is sent there; it may write to you, or call " +
		"you.",
	same:   "This is the address that the e-mail came back from. Please give another one.",
	wrong:  "This is not an e-mail address such as name@example.com.",
	enough: "Another address was given three times already. Please write to the shop.",
	none:   "There is no e-mail to send again now. Below you see where your order stands.",
}

var frenchAddress = addressWords{
	status: "E-mail revenu",
	summary: "Votre clé est là, mais notre e-mail nous est revenu. Voici ce que vous pouvez faire.|Vos clés sont là, " +
		"mais notre e-mail nous est revenu. Voici ce que vous pouvez faire.",
	cameBack:     "Notre e-mail nous est revenu\u00a0: il ne vous est pas parvenu.",
	cameBackFrom: "Notre e-mail à {address} nous est revenu\u00a0: il ne vous est pas parvenu.",
	canOpen:      "Vous pouvez afficher votre clé ici.|Vous pouvez afficher vos clés ici.",
	asked:        "Vous avez indiqué une autre adresse. La boutique l’examine avant que quoi que ce soit y soit envoyé.",
	sentTo:       "Envoyé à {address} {when}.", onItsWay: "En route vers {address}.",
	questionOrder: "L’adresse est erronée\u00a0? Indiquez la bonne\u00a0: nous y envoyons désormais tout ce " +
		"qui concerne cette commande.",
	buttonOrder: "Utiliser cette adresse",
	question: "L’adresse est erronée\u00a0? Indiquez la bonne, et nous y envoyons la même clé.|L’adresse est " +
		"erronée\u00a0? Indiquez la bonne, et nous y envoyons les mêmes clés.",
	label: "Adresse e-mail", button: "Envoyer à cette adresse",
	done: "Nous envoyons l’e-mail à la nouvelle adresse. Cela peut prendre quelques minutes. L’ancienne adresse en est " +
		"informée.",
	waits: "Nous avons votre nouvelle adresse. La boutique l’examine avant que quoi que ce soit y soit envoyé\u00a0; " +
		"elle peut vous écrire ou vous appeler.",
	same:   "C’est l’adresse d’où l’e-mail est revenu. Indiquez-en une autre.",
	wrong:  "Ce n’est pas une adresse e-mail telle que nom@exemple.fr.",
	enough: "Une autre adresse a déjà été indiquée trois fois. Écrivez à la boutique.",
	none:   "Il n’y a pas d’e-mail à renvoyer en ce moment. Voici où en est votre commande.",
}

var germanAddress = addressWords{
	status: "E-Mail kam zurück",
	summary: "Ihr Schlüssel ist da, aber unsere E-Mail kam zurück. Hier sehen Sie, was Sie tun können.|Ihre Schlüssel " +
		"sind da, aber unsere E-Mail kam zurück. Hier sehen Sie, was Sie tun können.",
	cameBack:     "Unsere E-Mail kam zurück: Sie hat Sie nicht erreicht.",
	cameBackFrom: "Unsere E-Mail an {address} kam zurück: Sie hat Sie nicht erreicht.",
	canOpen:      "Sie können Ihren Schlüssel hier anzeigen.|Sie können Ihre Schlüssel hier anzeigen.",
	asked:        "Sie haben eine andere Adresse angegeben. Der Händler prüft sie, bevor etwas dorthin gesendet wird.",
	sentTo:       "Gesendet an {address} {when}.", onItsWay: "Unterwegs an {address}.",
	questionOrder: "Ist die Adresse falsch? Geben Sie die richtige an: Was wir zu dieser Bestellung senden, " +
		"geht von nun an dorthin.",
	buttonOrder: "Diese Adresse verwenden",
	question: "Ist die Adresse falsch? Geben Sie die richtige an, und wir senden denselben Schlüssel dorthin.|Ist die " +
		"Adresse falsch? Geben Sie die richtige an, und wir senden dieselben Schlüssel dorthin.",
	label: "E-Mail-Adresse", button: "Dorthin senden",
	done: "Wir senden die E-Mail an die neue Adresse. Das kann einige Minuten dauern. Die alte Adresse erfährt davon.",
	waits: "Wir haben Ihre neue Adresse. Der Händler prüft sie, bevor etwas dorthin gesendet wird; vielleicht schreibt " +
		"er Ihnen oder ruft Sie an.",
	same:   "Von dieser Adresse kam die E-Mail zurück. Bitte geben Sie eine andere an.",
	wrong:  "Das ist keine E-Mail-Adresse wie name@beispiel.de.",
	enough: "Es wurde schon dreimal eine andere Adresse angegeben. Bitte schreiben Sie dem Händler.",
	none:   "Es gibt gerade keine E-Mail noch einmal zu senden. Hier sehen Sie, wie es um Ihre Bestellung steht.",
}
