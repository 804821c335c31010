// Package rows answers reads: collections with their query options and pages,
// single rows and properties, navigation, counts and change tracking
// (protocols/dataverse.md §2.3, §4, §5).
package rows
