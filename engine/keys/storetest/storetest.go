// Package storetest holds the tests that every implementation of keys.Store passes. They
// check what a keystore promises with several handles and several processes at once.
package storetest

import (
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// Location is where the keystore of one test is.
type Location interface {
	Create() (keys.Store, error)
	Open() (keys.Store, error)
	// Restore fills a new keystore, which exists only once it is complete.
	Restore(fill func(keys.Store) error) error
	// Address is the address by which a child process opens the same keystore: see Main.
	Address() string
	// OnDisk reports for each needle whether it occurs anywhere in the files that
	// the store promises to clean.
	OnDisk(needles ...[]byte) ([]bool, error)
	// Execute changes the stored rows without the master key.
	Execute(statements string) error
}

// oneByOne are the longest of the tests that call the keystore from one goroutine only.
// The short tests, those under the race detector, leave them out.
var oneByOne = map[string]bool{
	"NoTraces": true, "Tampered": true, "TamperedGenerations": true, "TamperedRevocations": true, "Trust": true,
	"RevokeRules": true, "RevokedSince": true, "WrongClockDestroysNothing": true, "Doubt": true, "AnotherMachine": true,
	"ListProjects": true, "RotateEvery": true,
}

// Run runs all tests, each in a new location.
func Run(t *testing.T, location func(t *testing.T) Location) {
	for _, test := range []struct {
		name string
		run  func(*env)
	}{
		{"Project", testProject},
		{"Names", testNames},
		{"Invalid", testInvalid},
		{"NotFound", testNotFound},
		{"Imported", testImported},
		{"Rotate", testRotate},
		{"RetentionAtUse", testRetentionAtUse},
		{"Sweep", testSweep},
		{"Shorten", testShorten},
		{"Sever", testSever},
		{"Receipts", testReceipts},
		{"NoTraces", testNoTraces},
		{"TracesTriedAgain", testTracesTriedAgain},
		{"NothingInClear", testNothingInClear},
		{"MasterKey", testMasterKey},
		{"Rewrap", testRewrap},
		{"RewrapCrash", testRewrapCrash},
		{"BoundOnce", testBoundOnce},
		{"MovedSecrets", testMovedSecrets},
		{"Tampered", testTampered},
		{"TamperedGenerations", testTamperedGenerations},
		{"TamperedRevocations", testTamperedRevocations},
		{"TamperedSweep", testTamperedSweep},
		{"Issuer", testIssuer},
		{"RotateIssuer", testRotateIssuer},
		{"Trust", testTrust},
		{"Change", testChange},
		{"FollowChange", testFollowChange},
		{"Revoke", testRevoke},
		{"RevokeRules", testRevokeRules},
		{"RevokedSince", testRevokedSince},
		{"DropMany", testDropMany},
		{"Issued", testIssued},
		{"Lease", testLease},
		{"LeaseConcurrent", testLeaseConcurrent},
		{"LeaseProcesses", testLeaseProcesses},
		{"LeaseCrash", testLeaseCrash},
		{"Concurrent", testConcurrent},
		{"ScrubBesideReaders", testScrubBesideReaders},
		{"CreateRefuses", testCreateRefuses},
		{"Rollback", testRollback},
		{"Cancelled", testCancelled},
		{"Clock", testClock},
		{"ClockInUse", testClockInUse},
		{"ClockTampered", testClockTampered},
		{"Grace", testGrace},
		{"SweepBefore", testSweepBefore},
		{"WrongClockDestroysNothing", testWrongClockDestroysNothing},
		{"Doubt", testDoubt},
		{"AnotherMachine", testAnotherMachine},
		{"TimeNamespace", testTimeNamespace},
		{"ListProjects", testListProjects},
		{"Outlook", testOutlook},
		{"Kill", testKill},
		{"RotateEvery", testRotateEvery},
		{"DestroyGeneration", testDestroyGeneration},
		{"RestoreProject", testRestoreProject},
		{"ScheduledSever", testScheduledSever},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && oneByOne[test.name] {
				t.Skip("one goroutine, and long")
			}
			t.Parallel()
			e := newEnv(t, location(t))
			e.again = location
			test.run(e)
		})
	}
}
