package web

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/local"
)

// french is the page in French.
//
//nolint:misspell // French for people
var french = words{
	lang:     "fr",
	date:     dateWords{local.Languages["fr"]},
	checkout: frenchCheckout, sold: frenchSold,
	shop: frenchShop, library: frenchLibrary, address: frenchAddress,
	title: "Votre commande", hello: "Bonjour {name},", order: "Commande", ordered: "Date", total: "Total",
	items: "Articles", quantity: "Quantité",
	operation: map[keyturn.OperationName]string{
		keyturn.OpRenew: "Renouvellement", keyturn.OpUpgrade: "Mise à niveau", keyturn.OpPause: "Suspension",
		keyturn.OpResume: "Réactivation", keyturn.OpCancel: "Résiliation",
	},
	keepLink: "Gardez l’adresse de cette page pour vous\u00a0: elle permet de voir vos clés.",
	zone:     "Toutes les heures sont en UTC\u00a0: une heure de moins qu’à Paris, deux en été.",
	summary: map[keyturn.OrderStatus]string{
		keyturn.OrderPending: "Nous préparons votre commande.",
		keyturn.OrderPartialCompleted: "Une partie de votre commande est en retard. Nous nous en occupons\u00a0; voici où " +
			"en est chaque article.",
		keyturn.OrderCompleted:       "Votre commande est complète\u00a0: tout a été livré.",
		keyturn.OrderCancelPending:   "Une annulation est en cours. Voici où en est chaque article.",
		keyturn.OrderPartialCanceled: "Votre commande est close\u00a0: une partie a été livrée, le reste a été remboursé.",
		keyturn.OrderCanceled:        "Votre commande a été annulée.",
	},
	underWay:    "Votre commande suit son cours. Voici où en est chaque article.",
	orderCancel: "Votre commande est en cours d’annulation. Vous allez être remboursé.",
	counts: countWords{
		delivered: "livrés\u00a0: {n}", underWay: "en préparation\u00a0: {n}", late: "en retard\u00a0: {n}",
		canceling: "en cours de remboursement\u00a0: {n}", canceled: "remboursés\u00a0: {n}",
	},
	pages: struct{ nav, page, previous, next string }{
		"Pages de votre commande", "Page {n} sur {all}", "Page précédente",
		"Page suivante",
	},
	status: map[situation]string{
		isCapturing: "Paiement en cours",
		isPreparing: "En préparation", isSending: "En route", isRetrying: "En retard", isMailLate: "E-mail en retard",
		isWaiting: "En attente de stock", isHeld: "En pause",
		isDelivered: "Livré", isReturned: frenchAddress.status,
		isCanceling: "Remboursement en cours", isCanceled: "Remboursé", isCanceledFree: "Annulé",
		isCancelingFree: "Annulation en cours",
	},
	text: lineWords{
		shownHere: "Ouverte sur cette page {when}.|Ouvertes sur cette page {when}.",
		canSee: "Vous n’avez pas à l’attendre\u00a0: affichez votre clé ici.|Vous n’avez pas à " +
			"l’attendre\u00a0: affichez vos clés ici.",
		capturing: "Votre clé est prête. Votre paiement est en cours de finalisation.|Vos clés sont " +
			"prêtes. Votre paiement est en cours de finalisation.",
		uncharged: "Cet article ne vous a pas été débité. Votre banque peut afficher le montant " +
			"comme en attente pendant quelques jours\u00a0; il n’est jamais prélevé.",
		changing: "Nous modifions votre licence.", changed: "Effectué {when}.",
		changeLate:     "La modification de votre licence prend plus de temps que prévu. Nous nous en occupons.",
		changeDeadline: "Ce sera fait, ou vous serez remboursé, {by} au plus tard.",
		delivered:      "Envoyé par e-mail {when}.", deliveredTo: "Envoyé à {address} {when}.",
		sentAgain: "Envoyé de nouveau {when}.",
		preparing: "Nous nous procurons votre clé.|Nous nous procurons vos clés.",
		byHand:    "La boutique prépare votre clé à la main.|La boutique prépare vos clés à la main.",
		sending: "Votre clé est prête. Nous l’envoyons à {address}.|Vos clés sont prêtes. Nous les " +
			"envoyons à {address}.",
		askedOnce: "Nous avons interrogé l’éditeur une fois et n’avons pas encore votre clé.|Nous avons " +
			"interrogé l’éditeur une fois et n’avons pas encore vos clés.",
		asked: "Nous avons interrogé l’éditeur {n} fois et n’avons pas encore votre clé.|Nous avons " +
			"interrogé l’éditeur {n} fois et n’avons pas encore vos clés.",
		working: "Cela prend plus de temps que prévu. Nous nous en occupons.", nextTry: "Prochain essai {when}.",
		tryingNow: "Un nouvel essai est en cours.",
		whenBack:  "L’éditeur du produit est injoignable pour l’instant. Nous reprenons dès qu’il répond.",
		mailLate: "Votre clé est prête, mais notre e-mail à {address} n’est pas encore passé.|Vos clés " +
			"sont prêtes, mais notre e-mail à {address} n’est pas encore passé.",
		waiting: "Il n’y a plus de clé en stock pour le moment. Votre place dans la file est " +
			"gardée\u00a0: les nouvelles clés partent dans l’ordre des commandes.|Il n’y a pas " +
			"assez de clés en stock pour le moment. Votre place dans la file est gardée\u00a0: les " +
			"nouvelles clés partent dans l’ordre des commandes.",
		held: "La boutique a mis cet article en pause pour l’examiner.", heldUntil: "Il reprend au plus tard {when}.",
		deadline: "Vous recevez votre clé ou votre argent au plus tard {by}.|Vous recevez vos clés ou " +
			"votre argent au plus tard {by}.",
		deadlinePassed: "Vous avez assez attendu\u00a0: votre clé ou votre remboursement arrive.|Vous avez " +
			"assez attendu\u00a0: vos clés ou votre remboursement arrivent.",
		deadlineFree: "Vous recevez votre clé au plus tard {by}, sinon vous ne payez rien.|Vous recevez vos " +
			"clés au plus tard {by}, sinon vous ne payez rien.",
		deadlinePassedFree: "Vous avez assez attendu\u00a0: votre clé arrive, ou l’article est annulé et vous ne " +
			"payez rien.|Vous avez assez attendu\u00a0: vos clés arrivent, ou l’article est annulé " +
			"et vous ne payez rien.",
		canceling: "Nous vous remboursons {amount} sur le moyen de paiement que vous avez utilisé. Nous insistons jusqu’à " +
			"ce que ce soit fait.", cancelingFree: "Cet article est en cours d’annulation. Il n’y a rien à rembourser.",
		orderCanceling: "Votre commande est en cours d’annulation. Cet article est le prochain à être remboursé.",
		canceled:       "Nous vous avons remboursé {amount} {when}, sur le moyen de paiement que vous avez utilisé.",
		canceledFree:   "Cet article a été annulé {when}. Il n’y avait rien à rembourser.",
		patience:       "Selon votre banque, quelques jours peuvent passer avant que vous ne le voyiez.",
	},
	action: actionWords{
		showAll:   "Afficher toutes mes clés",
		copyAll:   "Tout copier",
		saveList:  "Enregistrer dans un fichier",
		sendAgain: "Renvoyer par e-mail",
		replaced:  "Remplacée, plus valable\u00a0:",
		showKey:   "Afficher ma clé", showKeys: "Afficher mes clés", yourKeys: "De quoi activer votre produit",
		copyKey: "Copier", copied: "Copié", link: "Lien d’activation\u00a0:", file: "Fichier",
		download: "Télécharger {name}", hide: "Masquer", instructions: "Comment l’activer",
		downloadProduct: "Télécharger le produit",
		refund:          "Être remboursé maintenant", refundFree: "Annuler maintenant",
		askRefund:     "Ne plus attendre {product} et être remboursé de {amount}\u00a0?",
		askRefundFree: "Ne plus attendre {product}\u00a0?",
		refundMeans:   "Nous cessons d’essayer de le livrer. C’est définitif.",
		refundMeansOrder: "Cela annule toute votre commande\u00a0: rien n’en est livré, et ce qui a été débité est " +
			"remboursé. C’est définitif.",
		yes: "Oui, remboursez-moi", yesFree: "Oui, annuler", no: "Non, j’attends encore",
	},
	notice: noticeWords{
		revealedOne: "Votre clé est affichée ci-dessous. Elle disparaît quand vous quittez cette page\u00a0; vous " +
			"pouvez l’afficher de nouveau à tout moment.",
		sentAgain: "Nous renvoyons l’e-mail. Cela peut prendre quelques minutes.",
		sentEnough: "Cet e-mail a été renvoyé trois fois aujourd’hui. Regardez aussi vos courriers indésirables, ou " +
			"affichez vos clés ici.",
		nothingToShow: "Il n’y a rien à afficher pour cet article en ce moment. Voici où il en est.",
		revealed: "Vos clés sont affichées ci-dessous. Elles disparaissent quand vous quittez cette page\u00a0; vous " +
			"pouvez les afficher de nouveau à tout moment.",
		noRefund: "Cet article ne peut pas être remboursé ici en ce moment. Voici où il en est.",
		busy: "Ce n’était pas possible à cet instant\u00a0: votre clé est peut-être justement en route. Revenez voir " +
			"dans une minute.",
		unknown: "Nous n’avons pas pu savoir à temps si cela a fonctionné. Voici où en est votre article\u00a0; si rien " +
			"n’a changé dans une minute, réessayez.",
		taken: "Votre décision est enregistrée. Elle prend effet dans un instant.",
	},
	fail: failWords{
		notFoundTitle: "Cette page n’existe pas",
		notFound:      "Vérifiez l’adresse\u00a0: elle doit être complète, exactement comme dans votre e-mail.",
		brokenTitle:   "Votre commande ne peut pas être affichée pour l’instant",
		broken:        "Rien n’est perdu. Réessayez dans une minute.",
		tooManyTitle:  "Veuillez patienter un moment",
		tooMany:       "Trop de tentatives sont venues de votre réseau. Veuillez réessayer dans {time}.",
		refusedTitle:  "Cela n’a pas été accepté", refused: "Rouvrez la page et utilisez ses boutons.",
	},
}
