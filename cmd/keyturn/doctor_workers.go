package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn/doctor"
	"keyturn.dev/keyturn/workflows"
)

// queueState is who asks for one kind of work, by their build, and which build new work is for.
type queueState struct {
	builds  map[string]int // deployment/build; empty: without a version
	current string         // empty: workers without a version get new work
	ramping string         // it gets a part of it; empty: none does
}

// queue describes the task queue of the workers.
func (a *app) queue(ctx context.Context, kind enums.TaskQueueType) (queueState, error) {
	found, err := a.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: a.namespace, TaskQueue: &taskqueue.TaskQueue{Name: workflows.TaskQueue}, TaskQueueType: kind,
	})
	q := queueState{builds: map[string]int{}}
	for _, p := range found.GetPollers() {
		build := ""
		if o := p.GetDeploymentOptions(); o.GetWorkerVersioningMode() == enums.WORKER_VERSIONING_MODE_VERSIONED {
			build = o.GetDeploymentName() + "/" + o.GetBuildId()
		}
		q.builds[build]++
	}
	if v := found.GetVersioningInfo().GetCurrentDeploymentVersion(); v != nil {
		q.current = v.GetDeploymentName() + "/" + v.GetBuildId()
	}
	if i := found.GetVersioningInfo(); i.GetRampingDeploymentVersion() != nil && i.GetRampingVersionPercentage() > 0 {
		q.ramping = i.GetRampingDeploymentVersion().GetDeploymentName() + "/" + i.GetRampingDeploymentVersion().GetBuildId()
	}
	return q, err
}

// workers says whether somebody asks for the work of each kind, and whether it is the build that new work is for.
func (a *app) workers(ctx context.Context) (doctor.Finding, error) {
	var told []string
	for name, kind := range map[string]enums.TaskQueueType{
		"workflows": enums.TASK_QUEUE_TYPE_WORKFLOW, "activities": enums.TASK_QUEUE_TYPE_ACTIVITY,
	} {
		q, err := a.queue(ctx, kind)
		if err != nil {
			return doctor.Finding{}, err
		}
		if f := q.finding(name); f.Status != doctor.OK {
			return f, nil
		}
		told = append(told, name+": "+q.String())
	}
	slices.Sort(told)
	return doctor.Found("have asked for work lately, %s", strings.Join(told, "; ")), nil
}

func (q queueState) finding(work string) doctor.Finding {
	const promote = "start workers of that build, or make theirs the current one: `temporal worker deployment " +
		"set-current-version`"
	switch {
	case len(q.builds) == 0:
		return doctor.Warn("start `keyturn worker`: nothing is delivered meanwhile", "none has asked for %s lately", work)
	case q.builds[q.current] == 0:
		return doctor.Bad(promote, "new work is for %s, and only others ask for %s: %s", named(q.current), work, q)
	case q.ramping != "" && q.builds[q.ramping] == 0:
		return doctor.Bad(promote, "a part of new work is for %s, and only others ask for %s: %s", q.ramping, work, q)
	}
	return doctor.Found("%s", q)
}

// String lists the builds with how many workers each has.
func (q queueState) String() string {
	var out []string
	for build, n := range q.builds {
		out = append(out, fmt.Sprintf("%d of %s", n, named(build)))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func named(build string) string {
	if build == "" {
		return "workers without a version"
	}
	return "build " + build
}
