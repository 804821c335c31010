// Package awskms wraps keys of slots under a symmetric key of AWS KMS, with the
// operations Encrypt and Decrypt. The encryption context names the vault and
// the slot: it is authenticated, it stands in CloudTrail in the clear, and a
// key policy can demand it
// (docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html).
//
// AWS deletes keys whole, after 7 to 30 days: the service is no place of
// deletion.
package awskms

import (
	"context"
	"errors"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"allod"
	"allod/internal/vault/keyring"
	wrap "allod/internal/vault/keyring/kms"
)

// Kind is that of slots wrapped by this service.
const Kind = "aws-kms"

// Key is one key of AWS KMS. Methods may be called from several goroutines.
type Key struct {
	client *kms.Client
	arn    string
}

var _ wrap.Service = (*Key)(nil)

var keyARN = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(key/[0-9A-Za-z-]{1,64}|alias/[0-9A-Za-z/_-]{1,250})$`)

// Open names the key with the ARN, and signs in as users of AWS know it: AWS_…
// variables, shared configuration, a role of the machine or container. Nothing
// is asked of the service yet. Invalid if it is not the ARN of a key or alias.
func Open(ctx context.Context, arn string) (*Key, error) {
	m := keyARN.FindStringSubmatch(arn)
	if m == nil {
		err := allod.Errorf(allod.Invalid, "name a key of AWS KMS: that is not an ARN of a key")
		return nil, allod.WithHint(err, "It looks like awskms:arn:aws:kms:eu-central-1:111122223333:key/….")
	}
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(m[1]))
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "sign in to AWS KMS: %w", err)
	}
	return &Key{client: kms.NewFromConfig(c), arn: arn}, nil
}

// Kind implements kms.Service.
func (k *Key) Kind() string { return Kind }

// Address implements kms.Service.
func (k *Key) Address() string { return k.arn }

// encryptionContext is what the service authenticates beside the key.
func encryptionContext(of keyring.Of) map[string]string {
	return map[string]string{"allod:vault": of.Vault.String(), "allod:slot": of.Slot}
}

// Wrap implements kms.Service.
func (k *Key) Wrap(ctx context.Context, of keyring.Of, key []byte) (wrap.Wrapped, error) {
	res, err := k.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId: aws.String(k.arn), Plaintext: key, EncryptionContext: encryptionContext(of), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	if err != nil {
		return wrap.Wrapped{}, failed("wrap a key", err)
	}
	if len(res.CiphertextBlob) == 0 {
		return wrap.Wrapped{}, allod.Errorf(allod.Unavailable, "wrap a key with AWS KMS: its answer is empty")
	}
	return wrap.Wrapped{Algorithm: string(types.EncryptionAlgorithmSpecSymmetricDefault), Bytes: res.CiphertextBlob}, nil
}

// Unwrap implements kms.Service.
func (k *Key) Unwrap(ctx context.Context, of keyring.Of, w wrap.Wrapped) ([]byte, error) {
	if w.Algorithm != string(types.EncryptionAlgorithmSpecSymmetricDefault) || w.Version != "" || len(w.Bytes) == 0 {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a key with AWS KMS: the slot names an algorithm that makes no sense")
	}
	res, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: aws.String(k.arn), CiphertextBlob: w.Bytes, EncryptionContext: encryptionContext(of), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	if err != nil {
		return nil, failed("unwrap a key", err)
	}
	return res.Plaintext, nil
}

// failed gives an error of the client its Kind: the codes are those of the
// reference of Encrypt and Decrypt and of the common errors. The service's own
// words are left out.
func failed(doing string, err error) error {
	const other = "Open the vault with another of its slots meanwhile, e.g. --key paper."
	var api smithy.APIError
	if !errors.As(err, &api) {
		if errors.Is(err, context.Canceled) {
			return allod.Errorf(allod.Unavailable, "%s with AWS KMS: %w", doing, context.Canceled)
		}
		return allod.WithHint(allod.Errorf(allod.Unavailable, "%s with AWS KMS: %w", doing, err), other)
	}
	e := &allod.Error{Kind: allod.Unavailable, Hint: other}
	switch api.ErrorCode() {
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "InvalidSignatureException":
		e.Kind, e.Hint = allod.Denied, "Who is signed in needs kms:Encrypt and kms:Decrypt on the key."
	case "DisabledException", "NotFoundException", "KMSInvalidStateException", "InvalidKeyUsageException":
		e.Kind, e.Hint = allod.Denied, "The key is disabled, pending deletion, gone, or not one that encrypts; a deletion can be cancelled while its days last."
	case "IncorrectKeyException":
		e.Kind, e.Hint = allod.Denied, "The slot was wrapped under another key: an alias may have been moved."
	case "InvalidCiphertextException":
		e.Kind, e.Hint = allod.Corrupt, "The service does not take what the slot holds; open the vault with another of its slots, and make this one anew."
	}
	var withID interface{ ServiceRequestID() string }
	if errors.As(err, &withID) {
		e.RequestID = withID.ServiceRequestID()
	}
	e.Err = allod.Errorf(e.Kind, "%s with AWS KMS: it answered %s", doing, api.ErrorCode())
	return e
}
