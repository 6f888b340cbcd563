#include "tls/pem.hpp"

#include <openssl/pem.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace scoregate::tls {

namespace {

constexpr std::size_t max_file_size = 1024 * 1024;

struct file_descriptor {
    int value;
    ~file_descriptor() {
        if (value >= 0) ::close(value);
    }
};

struct der_deleter {
    std::size_t size = 0;
    void operator()(void* bytes) const noexcept { OPENSSL_secure_clear_free(bytes, size); }
};

struct pem_block {
    std::string label; // "CERTIFICATE", "RSA PRIVATE KEY", ...
    bool encrypted = false;
    std::unique_ptr<unsigned char, der_deleter> der;

    std::size_t size() const { return der.get_deleter().size; }
    bool is_certificate() const { return label == PEM_STRING_X509 || label == PEM_STRING_X509_OLD; }
    bool is_key() const { return label.ends_with("PRIVATE KEY"); }
};

std::vector<pem_block> parse_pem(const std::string& path, std::string_view text) {
    ERR_clear_error();
    std::vector<pem_block> blocks;
    const bio_ptr in{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    char *label = nullptr, *header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    while (PEM_read_bio_ex(in.get(), &label, &header, &der, &size, PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
        // RFC 1421 4.6.1.1 "Proc-Type: 4,ENCRYPTED" of the traditional form, and the label of PKCS#8's.
        const bool encrypted =
            std::strstr(header, "ENCRYPTED") != nullptr || std::strstr(label, "ENCRYPTED") != nullptr;
        blocks.push_back({label, encrypted, {der, der_deleter{static_cast<std::size_t>(size)}}});
        OPENSSL_secure_free(label);
        OPENSSL_secure_free(header);
    }
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    const auto reasons = openssl_errors();
    if (!at_end)
        throw unusable_file(path + ": PEM block " + std::to_string(blocks.size() + 1) + " is damaged (" + reasons +
                            "); copy the file again");
    return blocks;
}

// What to say of a file without the wanted block; `command` converts to PEM.
unusable_file without(const std::string& wanted, const std::string& other, const std::string& path,
                      std::string_view text, const std::vector<pem_block>& blocks, const std::string& command) {
    if (text.empty()) return unusable_file(path + " is empty; it must hold the " + wanted + " in PEM");
    if (blocks.empty() && text.front() == 0x30) // an ASN.1 SEQUENCE, as DER and PKCS#12 begin
        return unusable_file(path + " is not PEM but looks like DER or PKCS#12; convert it: " + command);
    if (blocks.empty())
        return unusable_file(path + " is not PEM (no -----BEGIN line); it must hold the " + wanted + " in PEM");
    // The wanted one is not among the blocks, so any of the two is the other one.
    const bool swapped =
        std::any_of(blocks.begin(), blocks.end(), [](const auto& b) { return b.is_certificate() || b.is_key(); });
    if (swapped)
        return unusable_file(path + " holds a " + other + " but no " + wanted +
                             "; are the certificate's file and the key's swapped?");
    return unusable_file(path + " holds a " + blocks.front().label + " but no " + wanted + "; name the right file");
}

} // namespace

unusable_file unreadable(const std::string& path, int error) {
    const auto remedy = error == ENOENT   ? "; correct the path"
                        : error == EACCES ? "; let the user that scoregate runs as read it"
                                          : "; check the path and what is there";
    return unusable_file("cannot read " + path + ": " + std::strerror(error) + remedy);
}

secret_text::~secret_text() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

void secret_text::resize(std::size_t size) {
    if (size > bytes_.capacity()) {
        secret_text larger;
        larger.bytes_.reserve(size);
        larger.bytes_.assign(bytes_.begin(), bytes_.end());
        bytes_.swap(larger.bytes_);
    }
    if (size < bytes_.size()) OPENSSL_cleanse(bytes_.data() + size, bytes_.size() - size);
    bytes_.resize(size);
}

pem_file read_pem_file(const std::string& path) {
    // Non-blocking, so that a pipe in the file's place cannot hold up the start.
    const file_descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (file.value < 0 || ::fstat(file.value, &status) != 0) throw unreadable(path, errno);
    if (!S_ISREG(status.st_mode))
        throw unusable_file("cannot read " + path + ": it is not a regular file; name the PEM file itself");
    pem_file out;
    out.mode = status.st_mode & 07777;
    // The size is where to begin: some file systems do not know it, and the file may grow meanwhile.
    out.text.resize(std::min(static_cast<std::size_t>(status.st_size), max_file_size) + 1);
    std::size_t size = 0;
    for (;;) {
        const auto got = ::read(file.value, out.text.data() + size, out.text.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw unreadable(path, errno);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
        if (size > max_file_size)
            throw unusable_file(path + " is larger than 1 MiB, which no PEM chain or key is; name the right file");
        if (size == out.text.size()) out.text.resize(std::min(2 * size + 4096, max_file_size + 1));
    }
    out.text.resize(size);
    return out;
}

std::vector<x509_ptr> parse_certificates(const std::string& path, std::string_view text) {
    const auto blocks = parse_pem(path, text);
    std::vector<x509_ptr> certificates;
    for (const auto& block : blocks) {
        if (!block.is_certificate()) continue;
        const unsigned char* at = block.der.get();
        certificates.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(block.size())));
        if (!certificates.back())
            throw unusable_file(path + ": certificate " + std::to_string(certificates.size()) + " is damaged (" +
                                openssl_errors() + "); copy the file again");
    }
    if (certificates.empty())
        throw without("certificate", "private key", path, text, blocks,
                      "openssl x509 -inform DER -in " + path + " -out cert.pem, or openssl pkcs12 -nokeys -in " + path +
                          " -out cert.pem");
    return certificates;
}

pkey_ptr parse_key(const std::string& path, std::string_view text) {
    const auto blocks = parse_pem(path, text);
    const auto block = std::find_if(blocks.begin(), blocks.end(), [](const auto& b) { return b.is_key(); });
    if (block == blocks.end())
        throw without("private key", "certificate", path, text, blocks,
                      "openssl pkey -inform DER -in " + path + " -out key.pem, or openssl pkcs12 -nocerts -nodes -in " +
                          path + " -out key.pem");
    if (block->encrypted)
        throw unusable_file(path +
                            " is protected by a passphrase, which a server cannot be asked for; remove it: "
                            "openssl pkey -in " +
                            path + " -out key.pem");
    const unsigned char* at = block->der.get();
    pkey_ptr key{d2i_AutoPrivateKey_ex(nullptr, &at, static_cast<long>(block->size()), nullptr, nullptr)};
    const auto reasons = openssl_errors();
    if (!key)
        throw unusable_file(path + ": the " + block->label + " cannot be decoded (" + reasons +
                            "); convert it to PKCS#8: openssl pkey -in " + path + " -out key.pem");
    return key;
}

} // namespace scoregate::tls
