package web

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/local"
)

// german is the page in German.
var german = words{
	lang:     "de",
	date:     dateWords{local.Languages["de"]},
	checkout: germanCheckout, sold: germanSold,
	shop: germanShop, library: germanLibrary, address: germanAddress,
	title: "Ihre Bestellung", hello: "Guten Tag {name},", order: "Bestellung", ordered: "Datum", total: "Summe",
	items: "Artikel", quantity: "Menge",
	operation: map[keyturn.OperationName]string{
		keyturn.OpRenew: "Verlängerung", keyturn.OpUpgrade: "Upgrade", keyturn.OpPause: "Ruhen der Lizenz",
		keyturn.OpResume: "Fortsetzung", keyturn.OpCancel: "Ende der Lizenz",
	},
	keepLink: "Behalten Sie die Adresse dieser Seite für sich: Wer sie kennt, kann Ihre Schlüssel sehen.",
	zone:     "Alle Uhrzeiten sind in UTC: eine Stunde weniger als in Berlin, im Sommer zwei.",
	summary: map[keyturn.OrderStatus]string{
		keyturn.OrderPending: "Wir bereiten Ihre Bestellung vor.",
		keyturn.OrderPartialCompleted: "Ein Teil Ihrer Bestellung verspätet sich. Wir kümmern uns darum; hier sehen Sie, " +
			"wie es um jeden Artikel steht.",
		keyturn.OrderCompleted:       "Ihre Bestellung ist vollständig: Alles wurde geliefert.",
		keyturn.OrderCancelPending:   "Eine Stornierung läuft. Hier sehen Sie, wie es um jeden Artikel steht.",
		keyturn.OrderPartialCanceled: "Ihre Bestellung ist abgeschlossen: Ein Teil wurde geliefert, der Rest erstattet.",
		keyturn.OrderCanceled:        "Ihre Bestellung wurde storniert.",
	},
	underWay:    "Ihre Bestellung ist in Arbeit. Hier sehen Sie, wie es um jeden Artikel steht.",
	orderCancel: "Ihre Bestellung wird storniert. Sie erhalten Ihr Geld zurück.",
	counts: countWords{
		delivered: "{n} geliefert", underWay: "{n} in Vorbereitung", late: "{n} verspätet",
		canceling: "{n} in Erstattung", canceled: "{n} erstattet",
	},
	pages: struct{ nav, page, previous, next string }{
		"Seiten Ihrer Bestellung", "Seite {n} von {all}", "Vorige Seite",
		"Nächste Seite",
	},
	status: map[situation]string{
		isCapturing: "Zahlung wird abgeschlossen",
		isPreparing: "In Vorbereitung", isSending: "Unterwegs", isRetrying: "Verspätet", isMailLate: "E-Mail verspätet",
		isWaiting: "Wartet auf Nachschub", isHeld: "Angehalten",
		isDelivered: "Geliefert", isReturned: germanAddress.status,
		isCanceling: "Erstattung unterwegs", isCanceled: "Erstattet", isCanceledFree: "Storniert",
		isCancelingFree: "Wird storniert",
	},
	text: lineWords{
		shownHere: "Auf dieser Seite geöffnet {when}.",
		canSee: "Sie müssen nicht darauf warten: Zeigen Sie Ihren Schlüssel hier an.|Sie müssen nicht " +
			"darauf warten: Zeigen Sie Ihre Schlüssel hier an.",
		capturing: "Ihr Schlüssel ist da. Ihre Zahlung wird gerade abgeschlossen.|Ihre Schlüssel sind da. " +
			"Ihre Zahlung wird gerade abgeschlossen.",
		uncharged: "Für diesen Artikel wurde nichts abgebucht. Ihre Bank kann den Betrag " +
			"einige Tage als vorgemerkt zeigen; er wird nie abgebucht.",
		changing: "Wir ändern Ihre Lizenz.", changed: "Erledigt {when}.",
		changeLate:     "Die Änderung Ihrer Lizenz dauert länger, als sie sollte. Wir arbeiten daran.",
		changeDeadline: "Sie ist erledigt, oder Sie erhalten Ihr Geld zurück: bis {by}.",
		delivered:      "Per E-Mail gesendet {when}.", deliveredTo: "Gesendet an {address} {when}.",
		sentAgain: "Erneut gesendet {when}.",
		preparing: "Wir besorgen Ihren Schlüssel.|Wir besorgen Ihre Schlüssel.",
		byHand: "Der Händler bereitet Ihren Schlüssel von Hand vor.|Der Händler bereitet Ihre " +
			"Schlüssel von Hand vor.",
		sending: "Ihr Schlüssel ist da. Wir senden ihn an {address}.|Ihre Schlüssel sind da. Wir senden " +
			"sie an {address}.",
		askedOnce: "Wir haben den Hersteller einmal gefragt und haben Ihren Schlüssel noch nicht.|Wir " +
			"haben den Hersteller einmal gefragt und haben Ihre Schlüssel noch nicht.",
		asked: "Wir haben den Hersteller {n}-mal gefragt und haben Ihren Schlüssel noch nicht.|Wir " +
			"haben den Hersteller {n}-mal gefragt und haben Ihre Schlüssel noch nicht.",
		working: "Es dauert länger, als es sollte. Wir kümmern uns darum.", nextTry: "Nächster Versuch {when}.",
		tryingNow: "Wir versuchen es gerade noch einmal.",
		whenBack:  "Der Hersteller ist zurzeit nicht erreichbar. Wir machen weiter, sobald er antwortet.",
		mailLate: "Ihr Schlüssel ist da, aber unsere E-Mail an {address} ist noch nicht " +
			"durchgekommen.|Ihre Schlüssel sind da, aber unsere E-Mail an {address} ist noch nicht " +
			"durchgekommen.",
		waiting: "Im Moment ist kein Schlüssel vorrätig. Ihr Platz in der Reihe bleibt Ihnen: Neue " +
			"Schlüssel gehen in der Reihenfolge der Bestellungen hinaus.|Im Moment sind nicht " +
			"genug Schlüssel vorrätig. Ihr Platz in der Reihe bleibt Ihnen: Neue Schlüssel gehen " +
			"in der Reihenfolge der Bestellungen hinaus.",
		held:      "Der Händler hat diesen Artikel angehalten, um ihn zu prüfen.",
		heldUntil: "Es geht spätestens {when} weiter.",
		deadline: "Sie erhalten Ihren Schlüssel oder Ihr Geld bis {by}.|Sie erhalten Ihre Schlüssel oder " +
			"Ihr Geld bis {by}.",
		deadlineFree: "Sie erhalten Ihren Schlüssel bis {by}, oder Sie zahlen nichts.|Sie erhalten Ihre " +
			"Schlüssel bis {by}, oder Sie zahlen nichts.",
		deadlinePassedFree: "Sie haben lange genug gewartet: Ihr Schlüssel ist als Nächstes dran, oder der Artikel " +
			"wird storniert und Sie zahlen nichts.|Sie haben lange genug gewartet: Ihre Schlüssel " +
			"sind als Nächstes dran, oder der Artikel wird storniert und Sie zahlen nichts.",
		deadlinePassed: "Sie haben lange genug gewartet: Ihr Schlüssel oder Ihr Geld ist als Nächstes " +
			"dran.|Sie haben lange genug gewartet: Ihre Schlüssel oder Ihr Geld sind als Nächstes " +
			"dran.",
		canceling: "Wir erstatten {amount} auf das Zahlungsmittel, das Sie benutzt haben. Wir bleiben daran, bis es " +
			"geschehen ist.", cancelingFree: "Dieser Artikel wird storniert. Es gibt nichts zu erstatten.",
		orderCanceling: "Ihre Bestellung wird storniert. Dieser Artikel wird als Nächstes erstattet.",
		canceled:       "Wir haben {amount} {when} auf das Zahlungsmittel erstattet, das Sie benutzt haben.",
		canceledFree:   "Dieser Artikel wurde {when} storniert. Es gab nichts zu erstatten.",
		patience:       "Je nach Bank kann es einige Tage dauern, bis Sie das Geld sehen.",
	},
	action: actionWords{
		showAll:   "Alle meine Schlüssel anzeigen",
		copyAll:   "Alle kopieren",
		saveList:  "Als Datei speichern",
		sendAgain: "Noch einmal per E-Mail senden",
		replaced:  "Ersetzt, nicht mehr gültig:",
		showKey:   "Schlüssel anzeigen", showKeys: "Schlüssel anzeigen", yourKeys: "Damit aktivieren Sie Ihr Produkt",
		copyKey: "Kopieren", copied: "Kopiert", link: "Link zur Aktivierung:", file: "Datei",
		download: "{name} herunterladen", hide: "Wieder verbergen", instructions: "So aktivieren Sie es",
		downloadProduct: "Produkt herunterladen",
		refund:          "Geld jetzt zurück", refundFree: "Jetzt stornieren",
		askRefund:     "Nicht länger auf {product} warten und {amount} zurückerhalten?",
		askRefundFree: "Nicht länger auf {product} warten?",
		refundMeans:   "Wir versuchen dann nicht mehr zu liefern. Das lässt sich nicht rückgängig machen.",
		refundMeansOrder: "Damit wird Ihre ganze Bestellung storniert: Nichts davon wird geliefert, und was " +
			"abgebucht wurde, wird erstattet. Das lässt sich nicht rückgängig machen.",
		yes: "Ja, Geld zurück", yesFree: "Ja, stornieren", no: "Nein, weiter warten",
	},
	notice: noticeWords{
		revealedOne: "Ihr Schlüssel steht unten. Er verschwindet, wenn Sie diese Seite verlassen; Sie können ihn " +
			"jederzeit wieder anzeigen.",
		sentAgain: "Wir senden die E-Mail noch einmal. Das kann einige Minuten dauern.",
		sentEnough: "Diese E-Mail wurde heute dreimal noch einmal gesendet. Sehen Sie auch im Spam-Ordner nach, " +
			"oder zeigen Sie Ihre Schlüssel hier an.",
		nothingToShow: "Für diesen Artikel gibt es gerade nichts anzuzeigen. Hier sehen Sie, wie es um ihn steht.",
		revealed: "Ihre Schlüssel stehen unten. Sie verschwinden, wenn Sie diese Seite verlassen; Sie können sie " +
			"jederzeit wieder anzeigen.",
		noRefund: "Dieser Artikel kann hier gerade nicht erstattet werden. Hier sehen Sie, wie es um ihn steht.",
		busy: "Das war in diesem Moment nicht möglich: Vielleicht ist Ihr Schlüssel gerade unterwegs zu Ihnen. " +
			"Bitte sehen Sie in einer Minute noch einmal nach.",
		unknown: "Wir konnten nicht rechtzeitig feststellen, ob es geklappt hat. Hier sehen Sie, wie es um Ihren " +
			"Artikel steht; wenn sich in einer Minute nichts geändert hat, versuchen Sie es bitte noch einmal.",
		taken: "Ihre Entscheidung ist angekommen. Sie wird gleich ausgeführt.",
	},
	fail: failWords{
		notFoundTitle: "Diese Seite gibt es nicht",
		notFound:      "Bitte prüfen Sie die Adresse: Sie muss vollständig sein, genau wie in Ihrer E-Mail.",
		brokenTitle:   "Ihre Bestellung kann gerade nicht angezeigt werden",
		broken:        "Nichts ist verloren. Bitte versuchen Sie es in einer Minute noch einmal.",
		tooManyTitle:  "Bitte warten Sie einen Moment",
		tooMany:       "Es kamen zu viele Versuche aus Ihrem Netz. Bitte versuchen Sie es in {time} noch einmal.",
		refusedTitle:  "Das wurde nicht angenommen",
		refused:       "Bitte öffnen Sie die Seite noch einmal und benutzen Sie ihre Knöpfe.",
	},
}
