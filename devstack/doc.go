// Package devstack runs the servers that Keyturn needs on a developer's machine: PostgreSQL and a Temporal development
// server, each a supervised child process with its state in one data directory. It finds their programs, installs or
// unpacks what is missing, starts them on loopback ports and stops them without a trace.
//
// It is for development and tests. Production points the same binary at servers that somebody operates.
//
//	stack, err := devstack.Open(".keyturn")
//	defer stack.Close()
//	pg, err := devstack.StartPostgres(ctx, stack, devstack.PostgresOptions{Port: 5433})
//	defer pg.Stop(ctx)
package devstack
