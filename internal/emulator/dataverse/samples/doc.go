// Package samples holds the local Dataverse against the requests and responses
// that Microsoft's developer documentation prints. Its test replays them all;
// testdata/samples.tsv tells what came of each. The package has no code of its
// own, and its test is skipped where the documentation's samples are not at
// hand.
package samples
