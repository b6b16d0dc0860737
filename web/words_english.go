package web

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/local"
)

// english is the page in English.
var english = words{
	lang:     "en",
	date:     dateWords{local.Languages["en"]},
	checkout: englishCheckout, sold: englishSold,
	shop: englishShop, library: englishLibrary, address: englishAddress,
	title: "Your order", hello: "Hello {name},", order: "Order", ordered: "Date", total: "Total", items: "Items",
	quantity: "Quantity",
	operation: map[keyturn.OperationName]string{
		keyturn.OpRenew: "Renewal", keyturn.OpUpgrade: "Upgrade", keyturn.OpPause: "Pause", keyturn.OpResume: "Resumption",
		keyturn.OpCancel: "Cancellation of the licence",
	},
	keepLink: "Keep the address of this page to yourself: whoever has it can see your keys.",
	zone:     "All times are in UTC: London time, or an hour behind it in summer.",
	summary: map[keyturn.OrderStatus]string{
		keyturn.OrderPending:          "We are preparing your order.",
		keyturn.OrderPartialCompleted: "Something in your order is late. We are on it; below you see where each item stands.",
		keyturn.OrderCompleted:        "Your order is complete: everything has been delivered.",
		keyturn.OrderCancelPending:    "A cancellation is under way. Below you see where each item stands.",
		keyturn.OrderPartialCanceled:  "Your order is closed: some items were delivered, the others were refunded.",
		keyturn.OrderCanceled:         "Your order was canceled.",
	},
	underWay:    "Your order is under way. Below you see where each item stands.",
	orderCancel: "Your order is being canceled. Your money is on its way back.",
	counts: countWords{
		delivered: "{n} delivered", underWay: "{n} being prepared", late: "{n} late",
		canceling: "{n} being refunded", canceled: "{n} refunded",
	},
	pages: struct{ nav, page, previous, next string }{
		"Pages of your order", "Page {n} of {all}", "Previous page",
		"Next page",
	},
	status: map[situation]string{
		isCapturing: "Payment being completed",
		isPreparing: "Being prepared", isSending: "On its way", isRetrying: "Late", isMailLate: "E-mail late",
		isWaiting: "Waiting for stock", isHeld: "On hold",
		isDelivered: "Delivered", isReturned: englishAddress.status,
		isCanceling: "Refund under way", isCanceled: "Refunded", isCanceledFree: "Canceled",
		isCancelingFree: "Being canceled",
	},
	text: lineWords{
		shownHere: "You opened it on this page {when}.|You opened them on this page {when}.",
		canSee: "You do not have to wait for it: open your key here.|You do not have to wait for it: " +
			"open your keys here.",
		capturing: "Your key is ready. Your payment is being completed.|Your keys are ready. Your payment " +
			"is being completed.",
		uncharged: "You were not charged for this item. Your bank may show the " +
			"amount as pending for some days; it is never taken.",
		changing: "We are changing your licence.", changed: "Done {when}.",
		changeLate:     "The change of your licence takes longer than it should. We are working on it.",
		changeDeadline: "It is done, or your money is on its way back, by {by}.",
		delivered:      "Sent by e-mail {when}.", deliveredTo: "Sent to {address} {when}.", sentAgain: "Sent again {when}.",
		preparing: "We are getting your key.|We are getting your keys.",
		byHand:    "The shop is preparing your key by hand.|The shop is preparing your keys by hand.",
		sending: "Your key is ready. We are sending it to {address}.|Your keys are ready. We are " +
			"sending them to {address}.",
		askedOnce: "We asked the publisher once and do not have your key yet.|We asked the publisher once " +
			"and do not have your keys yet.",
		asked: "We asked the publisher {n} times and do not have your key yet.|We asked the publisher " +
			"{n} times and do not have your keys yet.",
		working: "It takes longer than it should. We are working on it.", nextTry: "Next try {when}.",
		tryingNow: "We are trying again right now.",
		whenBack:  "The maker of the product cannot be reached at the moment. We go on as soon as it answers.",
		mailLate: "Your key is ready, but our e-mail to {address} has not got through yet.|Your keys are " +
			"ready, but our e-mail to {address} has not got through yet.",
		waiting: "There is no key in stock at the moment. Your place in the queue is kept: new keys go " +
			"out first come, first served.|There are not enough keys in stock at the moment. Your " +
			"place in the queue is kept: new keys go out first come, first served.",
		held: "The shop has paused this item to look into it.", heldUntil: "It continues {when} at the latest.",
		deadline: "You get your key or your money back by {by}.|You get your keys or your money back by " +
			"{by}.",
		deadlinePassed: "You waited long enough: your key or your money is next.|You waited long enough: your " +
			"keys or your money are next.",
		deadlineFree: "You get your key by {by}, or you are not charged.|You get your keys by {by}, or you " +
			"are not charged.",
		deadlinePassedFree: "You waited long enough: your key is next, or this item ends and you are not " +
			"charged.|You waited long enough: your keys are next, or this item ends and you are " +
			"not charged.",
		canceling:      "We are sending {amount} back to the means of payment you used. We keep at it until it is done.",
		cancelingFree:  "This item is being canceled. There is nothing to pay back.",
		orderCanceling: "Your order is being canceled. This item is refunded next.",
		canceled:       "We sent {amount} back {when}, to the means of payment you used.",
		canceledFree:   "This item was canceled {when}. There was nothing to pay back.",
		patience:       "Depending on your bank, it can take a few days until you see it.",
	},
	action: actionWords{
		showAll:   "Show all my keys",
		copyAll:   "Copy all",
		saveList:  "Save as a file",
		sendAgain: "Send it again by e-mail",
		replaced:  "Replaced, no longer valid:",
		showKey:   "Show my key", showKeys: "Show my keys", yourKeys: "What you need to activate it", copyKey: "Copy",
		copied: "Copied", link: "Activation link:", file: "File",
		download: "Download {name}", hide: "Hide again", instructions: "How to activate it",
		downloadProduct: "Download the product",
		refund:          "Refund me now", refundFree: "Cancel it now",
		askRefund: "Stop waiting for {product} and get {amount} back?", askRefundFree: "Stop waiting for {product}?",
		refundMeans: "We stop trying to deliver it. This cannot be undone.",
		refundMeansOrder: "This cancels your whole order: nothing of it is delivered, and what was charged is " +
			"refunded. It cannot be undone.",
		yes: "Yes, refund me", yesFree: "Yes, cancel it", no: "No, keep waiting",
	},
	notice: noticeWords{
		revealedOne: "Your key is shown below. It disappears when you leave this page; you can show it again at any " +
			"time.",
		sentAgain: "We are sending the e-mail again. It can take a few minutes.",
		sentEnough: "This e-mail was sent again three times today. Look into your spam folder too, or show your " +
			"keys here.",
		nothingToShow: "There is nothing to show for this item now. Below you see where it stands.",
		revealed: "Your keys are shown below. They disappear when you leave this page; you can show them again at " +
			"any time.",
		noRefund: "This item cannot be refunded here now. Below you see where it stands.",
		busy: "This was not possible at this moment: your key may just be on its way to you. Please look again " +
			"in a minute.",
		unknown: "We could not find out in time whether this worked. Below you see where your item stands; if " +
			"nothing has changed in a minute, please try again.",
		taken: "We have your decision. It is carried out in a moment.",
	},
	fail: failWords{
		notFoundTitle: "This page does not exist",
		notFound:      "Please check the address: it must be complete, exactly as in your e-mail.",
		brokenTitle:   "Your order cannot be shown right now", broken: "Nothing is lost. Please try again in a minute.",
		tooManyTitle: "Please wait a moment",
		tooMany:      "Too many attempts came from your network. Please try again in {time}.",
		refusedTitle: "This was not accepted", refused: "Please open the page again and use its buttons.",
	},
}
