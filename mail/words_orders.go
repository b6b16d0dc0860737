package mail

// orderWords are the words of mails about an order of a checkout link and its payment. The comments say what a format
// takes.
type orderWords struct {
	confirmSubject                                  string // order
	confirmed                                       string
	promiseCharge, promisePaid, promiseFree         [2]string // of one key, and of several; time
	severalTogether, severalReady                   string
	totalWithTax, seller, contact, terms            string
	consent                                         string // time
	withdrawal, withdrawUndelivered, withdrawWaived string
	withdrawOffered                                 string // last day
	refusedSubject                                  string
	refused                                         string // amount
	payAgain                                        string // time
	payAgainButton, askForLink                      string
	noOrderSubject                                  string
	noOrder                                         string // amount and names
	unchargedSubject, withdrawnSubject              string // order
	notCharged                                      string
	goesBack                                        string // amount
	orderAgain                                      string // last day
	orderAgainButton                                string
	correctedSubject, corrected                     string
	pageSubject                                     string // order
	pageAsked, pageSecret                           string
	withdrawalSubject                               string // order
	withdrawn                                       string // order and time
	withdrawnNext, withdrawnKeys                    string
	librarySubject                                  string // shop
	libraryAsked, libraryIgnore                     string
	libraryUse                                      string // time
	libraryButton                                   string
}

var englishOrders = orderWords{
	confirmSubject: "Your order %s: confirmation",
	confirmed:      "Thank you for your order. We have accepted it, and this e-mail confirms it.",
	promiseCharge: [2]string{
		"You are charged only when your key is ready: by %s, or you are not charged.",
		"You are charged only when your keys are ready: by %s, or you are not charged.",
	},
	promisePaid: [2]string{
		"Your payment has arrived. You get your key, or your money back, by %s.",
		"Your payment has arrived. You get your keys, or your money back, by %s.",
	},
	promiseFree: [2]string{
		"You get your key by %s. There is nothing to pay.", "You get your keys by %s. There is nothing to pay.",
	},
	severalTogether: "Your items are charged together. What cannot be delivered after that is refunded.",
	severalReady:    "You are charged for the items that are ready. What cannot be delivered is not charged.",
	totalWithTax:    "Total, all taxes included", seller: "Seller", contact: "Contact", terms: "Terms",
	consent:    "You agreed to this on %s",
	withdrawal: "Your right of withdrawal",
	withdrawUndelivered: "As long as an item is not delivered, you can withdraw from the contract on the page of " +
		"your order.",
	withdrawWaived: "You asked us to begin at once, so your right of withdrawal ends with the delivery. Until " +
		"then you can withdraw from the contract on the page of your order, without giving a reason.",
	withdrawOffered: "You can withdraw from the contract until %s, without giving a reason: on the page of your " +
		"order, choose “Withdraw from the contract here”. You get your money back, and the keys stop working.",
	refusedSubject: "Your payment was refused, and nothing was charged",
	refused: "Your bank, or the means of payment that you chose, has refused the payment of %s. Nothing was " +
		"charged, and nothing was ordered.",
	payAgain:         "The page is open again until %s, if you want to pay in another way:",
	payAgainButton:   "Back to the checkout page",
	askForLink:       "If you still want to buy, please ask the shop for a new link.",
	noOrderSubject:   "Your payment could not become an order",
	noOrder:          "You confirmed a payment of %s for %s, but no order could be placed with it. Nothing is delivered.",
	unchargedSubject: "Your order %s: we could not deliver, and you were not charged",
	withdrawnSubject: "Your order %s: canceled after your withdrawal",
	notCharged:       "You were not charged. Your bank may show the amount as pending for some days; it is never taken.",
	goesBack:         "We are sending %s back to the means of payment you used.",
	orderAgain: "If you still want it, you can order the same at the same price until %s, on the page of your " +
		"order:",
	orderAgainButton: "Order again",
	correctedSubject: "More was charged than we told you: it goes back to you",
	corrected: "More was taken from your means of payment than we told you. That was not meant to happen, and we are " +
		"sorry.",
	pageSubject:       "The page of your order %s",
	pageAsked:         "Somebody, most likely you, asked for the address of this page. Here it is.",
	pageSecret:        "Keep it to yourself: whoever has it can see your keys.",
	withdrawalSubject: "Your order %s: we have received your withdrawal",
	withdrawn:         "We received your withdrawal from the contract of order %s on %s.",
	withdrawnNext: "We cancel what you withdrew from. What was charged for it goes back to the means of payment " +
		"you used, and what was not charged is never charged. We write to you again when that is done.",
	withdrawnKeys:  "Keys that you have received already stop working.",
	librarySubject: "Your purchases at %s",
	libraryAsked: "Somebody, most likely you, asked to see everything that was bought with this e-mail address: orders, " +
		"licences, files and receipts.",
	libraryIgnore: "If it was not you, you do not have to do anything: nobody sees your purchases without this e-mail.",
	libraryUse:    "This link opens them. It works once, until %s:",
	libraryButton: "Show my purchases",
}

var frenchOrders = orderWords{ //nolint:gosec // no credentials: words of e-mails
	confirmSubject: "Votre commande %s\u00a0: confirmation",
	confirmed:      "Merci pour votre commande. Nous l’avons acceptée, et cet e-mail la confirme.",
	promiseCharge: [2]string{
		"Vous n’êtes débité que lorsque votre clé est prête\u00a0: au plus tard le %s, sinon vous ne payez rien.",
		"Vous n’êtes débité que lorsque vos clés sont prêtes\u00a0: au plus tard le %s, sinon vous ne payez rien.",
	},
	promisePaid: [2]string{
		"Votre paiement est arrivé. Vous recevez votre clé, ou votre argent en retour, au plus tard le %s.",
		"Votre paiement est arrivé. Vous recevez vos clés, ou votre argent en retour, au plus tard le %s.",
	},
	promiseFree: [2]string{
		"Vous recevez votre clé au plus tard le %s. Il n’y a rien à payer.",
		"Vous recevez vos clés au plus tard le %s. Il n’y a rien à payer.",
	},
	severalTogether: "Vos articles sont débités ensemble. Ce qui ne peut pas être livré ensuite est remboursé.",
	severalReady:    "Vous payez les articles qui sont prêts. Ce qui ne peut pas être livré n’est pas débité.",
	totalWithTax:    "Total, toutes taxes comprises", seller: "Vendeur", contact: "Contact", terms: "Conditions",
	consent:    "Vous avez accepté ceci le %s",
	withdrawal: "Votre droit de rétractation",
	withdrawUndelivered: "Tant qu’un article n’est pas livré, vous pouvez vous rétracter sur la page de votre " +
		"commande.",
	withdrawWaived: "Vous avez demandé l’exécution immédiate\u00a0: votre droit de rétractation prend donc fin avec " +
		"la livraison. Jusque-là, vous pouvez vous rétracter sur la page de votre commande, sans donner de motif.",
	withdrawOffered: "Vous pouvez vous rétracter jusqu’au %s inclus, sans donner de motif\u00a0: sur la page de votre " +
		"commande, choisissez «\u00a0Se rétracter du contrat ici\u00a0». Vous êtes remboursé, et les clés cessent de " +
		"fonctionner.",
	refusedSubject: "Votre paiement a été refusé, et rien n’a été débité",
	refused: "Votre banque, ou le moyen de paiement que vous avez choisi, a refusé le paiement de %s. Rien n’a " +
		"été débité, et rien n’a été commandé.",
	payAgain:       "La page est de nouveau ouverte jusqu’au %s, si vous voulez payer autrement\u00a0:",
	payAgainButton: "Retour à la page de paiement",
	askForLink:     "Si vous voulez toujours acheter, demandez un nouveau lien à la boutique.",
	noOrderSubject: "Votre paiement n’a pas pu donner lieu à une commande",
	noOrder: "Vous avez confirmé un paiement de %s pour %s, mais aucune commande n’a pu être passée avec lui. Rien " +
		"n’est livré.",
	unchargedSubject: "Votre commande %s\u00a0: livraison impossible, vous n’avez pas été débité",
	withdrawnSubject: "Votre commande %s\u00a0: annulée après votre rétractation",
	notCharged: "Vous n’avez pas été débité. Votre banque peut afficher le montant comme en attente pendant " +
		"quelques jours\u00a0; il n’est jamais prélevé.",
	goesBack: "Nous vous remboursons %s sur le moyen de paiement que vous avez utilisé.",
	orderAgain: "Si vous le voulez toujours, vous pouvez commander la même chose au même prix jusqu’au %s, sur " +
		"la page de votre commande\u00a0:",
	orderAgainButton: "Commander à nouveau",
	correctedSubject: "Vous avez été débité de plus qu’annoncé\u00a0: vous êtes remboursé",
	corrected: "Votre moyen de paiement a été débité de plus que ce que nous vous avions annoncé. Cela n’aurait pas dû " +
		"arriver, et nous en sommes désolés.",
	pageSubject:       "La page de votre commande %s",
	pageAsked:         "Quelqu’un, sans doute vous, a demandé l’adresse de cette page. La voici.",
	pageSecret:        "Gardez-la pour vous\u00a0: quiconque la connaît peut voir vos clés.",
	withdrawalSubject: "Votre commande %s\u00a0: nous avons reçu votre rétractation",
	withdrawn:         "Nous avons reçu votre rétractation du contrat de la commande %s le %s.",
	withdrawnNext: "Nous annulons ce dont vous vous êtes rétracté. Ce qui a été débité vous est remboursé sur le " +
		"moyen de paiement que vous avez utilisé, et ce qui ne l’a pas été ne le sera jamais. Nous vous écrivons à " +
		"nouveau dès que c’est fait.",
	withdrawnKeys:  "Les clés que vous avez déjà reçues cessent de fonctionner.",
	librarySubject: "Vos achats chez %s",
	libraryAsked: "Quelqu’un, sans doute vous, a demandé à voir tout ce qui a été acheté avec cette adresse " +
		"e-mail\u00a0: articles, licences, fichiers et reçus.",
	libraryIgnore: "Si ce n’était pas vous, vous n’avez rien à faire\u00a0: personne ne voit vos achats sans cet e-mail.",
	libraryUse:    "Ce lien les affiche. Il fonctionne une seule fois, jusqu’au %s\u00a0:",
	libraryButton: "Voir mes achats",
}

var germanOrders = orderWords{ //nolint:gosec // no credentials: words of e-mails
	confirmSubject: "Ihre Bestellung %s: Bestätigung",
	confirmed:      "Vielen Dank für Ihre Bestellung. Wir haben sie angenommen, und diese E-Mail bestätigt sie.",
	promiseCharge: [2]string{
		"Abgebucht wird erst, wenn Ihr Schlüssel da ist: bis %s, sonst gar nicht.",
		"Abgebucht wird erst, wenn Ihre Schlüssel da sind: bis %s, sonst gar nicht.",
	},
	promisePaid: [2]string{
		"Ihre Zahlung ist da. Sie erhalten Ihren Schlüssel oder Ihr Geld zurück, bis %s.",
		"Ihre Zahlung ist da. Sie erhalten Ihre Schlüssel oder Ihr Geld zurück, bis %s.",
	},
	promiseFree: [2]string{
		"Sie erhalten Ihren Schlüssel bis %s. Zu zahlen ist nichts.",
		"Sie erhalten Ihre Schlüssel bis %s. Zu zahlen ist nichts.",
	},
	severalTogether: "Ihre Artikel werden zusammen abgebucht. Was sich danach nicht liefern lässt, wird " +
		"erstattet.",
	severalReady: "Abgebucht werden die Artikel, die da sind. Was sich nicht liefern lässt, wird nicht abgebucht.",
	totalWithTax: "Summe, alle Steuern enthalten", seller: "Verkäufer", contact: "Kontakt", terms: "Bedingungen",
	consent:    "Dem haben Sie am %s zugestimmt",
	withdrawal: "Ihr Widerrufsrecht",
	withdrawUndelivered: "Solange ein Artikel nicht geliefert ist, können Sie den Vertrag auf der Seite Ihrer " +
		"Bestellung widerrufen.",
	withdrawWaived: "Sie haben verlangt, dass wir sofort beginnen; Ihr Widerrufsrecht erlischt deshalb mit der " +
		"Lieferung. Bis dahin können Sie den Vertrag auf der Seite Ihrer Bestellung widerrufen, ohne einen Grund zu " +
		"nennen.",
	withdrawOffered: "Sie können den Vertrag bis einschließlich %s widerrufen, ohne einen Grund zu nennen: " +
		"Wählen Sie auf der Seite Ihrer Bestellung „Hier den Vertrag widerrufen“. Sie erhalten Ihr Geld zurück, und " +
		"die Schlüssel gelten nicht mehr.",
	refusedSubject: "Ihre Zahlung wurde abgelehnt, abgebucht wurde nichts",
	refused: "Ihre Bank oder das gewählte Zahlungsmittel hat die Zahlung von %s abgelehnt. Es wurde nichts " +
		"abgebucht und nichts bestellt.",
	payAgain:       "Die Seite ist bis %s wieder offen, falls Sie auf andere Weise zahlen möchten:",
	payAgainButton: "Zurück zur Kasse",
	askForLink:     "Wenn Sie weiterhin kaufen möchten, bitten Sie den Shop um einen neuen Link.",
	noOrderSubject: "Aus Ihrer Zahlung konnte keine Bestellung werden",
	noOrder: "Sie haben eine Zahlung von %s für %s bestätigt, aber es konnte keine Bestellung daraus werden. Geliefert " +
		"wird nichts.",
	unchargedSubject: "Ihre Bestellung %s: nicht lieferbar, abgebucht wurde nichts",
	withdrawnSubject: "Ihre Bestellung %s: nach Ihrem Widerruf storniert",
	notCharged: "Es wurde nichts abgebucht. Ihre Bank kann den Betrag einige Tage als vorgemerkt zeigen; er wird " +
		"nie abgebucht.",
	goesBack: "Wir erstatten %s auf das Zahlungsmittel, das Sie benutzt haben.",
	orderAgain: "Wenn Sie es weiterhin möchten, können Sie dasselbe bis einschließlich %s zum selben Preis noch " +
		"einmal bestellen, auf der Seite Ihrer Bestellung:",
	orderAgainButton: "Noch einmal bestellen",
	correctedSubject: "Es wurde mehr abgebucht, als wir Ihnen gesagt haben: Sie erhalten es zurück",
	corrected: "Von Ihrem Zahlungsmittel wurde mehr abgebucht, als wir Ihnen gesagt haben. Das sollte nicht geschehen, " +
		"und es tut uns leid.",
	pageSubject:       "Die Seite Ihrer Bestellung %s",
	pageAsked:         "Jemand, wahrscheinlich Sie, hat nach der Adresse dieser Seite gefragt. Hier ist sie.",
	pageSecret:        "Behalten Sie sie für sich: Wer sie kennt, kann Ihre Schlüssel sehen.",
	withdrawalSubject: "Ihre Bestellung %s: Ihr Widerruf ist eingegangen",
	withdrawn:         "Ihr Widerruf des Vertrags zur Bestellung %s ist am %s bei uns eingegangen.",
	withdrawnNext: "Wir stornieren, was Sie widerrufen haben. Was dafür abgebucht wurde, erstatten wir auf das " +
		"Zahlungsmittel, das Sie benutzt haben; was nicht abgebucht wurde, wird nie abgebucht. Wir schreiben Ihnen " +
		"noch einmal, sobald das geschehen ist.",
	withdrawnKeys:  "Schlüssel, die Sie schon erhalten haben, gelten nicht mehr.",
	librarySubject: "Ihre Einkäufe bei %s",
	libraryAsked: "Jemand, wahrscheinlich Sie, möchte alles sehen, was mit dieser E-Mail-Adresse gekauft wurde: " +
		"Bestellungen, Lizenzen, Dateien und Belege.",
	libraryIgnore: "Falls Sie es nicht waren, müssen Sie nichts tun: Ohne diese E-Mail sieht niemand Ihre Einkäufe.",
	libraryUse:    "Dieser Link zeigt sie. Er gilt einmal, bis %s:",
	libraryButton: "Meine Einkäufe zeigen",
}
