package api

import "keyturn.dev/keyturn"

func exampleBatchView() keyturn.BatchView {
	return keyturn.BatchView{
		BatchID: exampleBatch, Accepted: 5000, Rejected: 2, CreatedBy: "warehouse",
		CreatedAt: exampleTime(-600),
	}
}

func exampleRecall() keyturn.BatchDetail {
	batch := keyturn.BatchDetail{BatchView: exampleBatchView()}
	batch.RecalledAt = exampleAt(60)
	batch.Recall = &keyturn.RecallView{
		Reason: "the publisher withdrew the list", Replace: true, Complete: true, Percent: 100, Sold: 188, Owed: 1,
		Replaced: 187,
		Keys: []keyturn.RecalledKey{{
			OrderID: exampleOrderID, FulfillmentID: exampleLine, Status: keyturn.ReplacementDone, DoneAt: exampleAt(61),
		}},
	}
	return batch
}

func exampleKeyView(state keyturn.KeyState, steps ...keyturn.KeyStep) keyturn.KeyView {
	imported := keyturn.KeyStep{
		To: string(keyturn.KeyAvailable), By: "warehouse", Reason: "imported",
		At: exampleTime(-600),
	}
	return keyturn.KeyView{
		PoolID: examplePool, BatchID: exampleBatch, State: state, History: append([]keyturn.KeyStep{imported}, steps...),
	}
}

var exampleSold = []keyturn.KeyStep{
	{
		From: string(keyturn.KeyAvailable), To: string(keyturn.KeyClaimed), By: "workflow", Reason: "sold",
		At: exampleTime(0), FulfillmentID: exampleLine, OrderID: exampleOrderID,
	},
	{
		From: string(keyturn.KeyClaimed), To: string(keyturn.KeyDelivered), By: "workflow", Reason: "e-mailed",
		At: exampleTime(1), FulfillmentID: exampleLine, OrderID: exampleOrderID,
	},
}

var stockExamples = map[string]example{
	"importKeys": {
		request: map[string]string{
			"text/plain": exampleKey + "\n" + exampleNewKey + "\n",
			"text/csv":   "key,expires\n" + exampleKey + ",2028-01-31\n" + exampleNewKey + ",2028-01-31\n",
		},
		answer: keyturn.ImportResult{
			BatchID: exampleBatch, Accepted: 1,
			Rejected: []keyturn.RejectedKey{{Line: 2, Reason: keyturn.RowDuplicateInPool}},
			Counts:   map[string]int{keyturn.RowDuplicateInPool: 1}, Served: 1,
		},
	},
	"getBatch": {answer: exampleRecall()},
	"undoBatch": {answer: func() keyturn.BatchDetail {
		batch := keyturn.BatchDetail{BatchView: exampleBatchView()}
		batch.UndoneAt, batch.UndoneBy = exampleAt(5), "warehouse"
		return batch
	}()},
	"recallBatch": {
		request: keyturn.RecallRequest{Reason: "the publisher withdrew the list", Replace: true}, answer: exampleRecall(),
	},
	"showKey": {
		request: keyturn.KeyRequest{Key: exampleKey}, answer: exampleKeyView(keyturn.KeyDelivered, exampleSold...),
	},
	"quarantineKey": {
		request: keyturn.KeyRequest{Key: exampleNewKey, Reason: "it was printed in a magazine"},
		answer: exampleKeyView(keyturn.KeyQuarantined, keyturn.KeyStep{
			From: string(keyturn.KeyAvailable), To: string(keyturn.KeyQuarantined), By: exampleOperator,
			Reason: "it was printed in a magazine", At: exampleTime(30),
		}),
	},
	"replaceKey": {
		request: keyturn.KeyRequest{Key: exampleKey, Reason: "the key was posted in a forum"},
		answer:  exampleKeyView(keyturn.KeyDelivered, exampleSold...),
	},
}
