#include "tls/pem_pair.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <vector>

namespace scoregate::tls {

namespace {

struct layout {
    const char *certificate, *key;
};
constexpr std::array<layout, 2> layouts{{{"cert.pem", "key.pem"}, {"tls.crt", "tls.key"}}};
constexpr auto wanted = "cert.pem and key.pem (Azure's layout), or tls.crt and tls.key (cert-manager's)";

// A link counts by its name: what it leads to is for the reading to tell.
bool exists(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT) return false;
    throw unreadable(path, errno);
}

// Throws unusable_file where it is not clear which pair is meant.
layout layout_of(const std::string& directory) {
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) throw unreadable(directory, errno);
    if (!S_ISDIR(status.st_mode))
        throw unusable_file(directory + " is not a directory; name the one that holds " + wanted);
    std::string found;
    std::vector<layout> begun;
    bool whole = true;
    for (const auto& each : layouts) {
        const bool certificate = exists(directory + "/" + each.certificate);
        const bool key = exists(directory + "/" + each.key);
        if (certificate) found.append(found.empty() ? "" : ", ").append(each.certificate);
        if (key) found.append(found.empty() ? "" : ", ").append(each.key);
        if (certificate || key) begun.push_back(each);
        whole = whole && certificate == key;
    }
    if (begun.empty()) throw unusable_file(directory + " holds no pair; put there " + wanted);
    if (begun.size() > 1)
        throw unusable_file(directory + " holds files of two layouts (" + found +
                            "), so it is not clear which pair is meant; keep either " + wanted);
    if (!whole)
        throw unusable_file(directory + " holds " + found + " alone; put there both " + begun.front().certificate +
                            " and " + begun.front().key);
    return begun.front();
}

void read(pem_pair::file& file, content_hash& content) {
    try {
        file.got = read_pem_file(file.path);
        content.add("held");
        content.add(file.got->text.view());
    } catch (const unusable_file& reason) {
        file.reason = reason.what();
        content.add("unreadable");
        content.add(file.reason);
    }
}

} // namespace

pem_pair read_pem_pair(const config::certificate_files& files) {
    pem_pair pair;
    content_hash content;
    pair.certificate.path = files.certificate;
    pair.key.path = files.key;
    try {
        if (!files.secret.empty()) {
            const auto found = layout_of(files.secret);
            pair.certificate.path = files.secret + "/" + found.certificate;
            pair.key.path = files.secret + "/" + found.key;
            content.add(found.certificate);
        }
        read(pair.certificate, content);
        read(pair.key, content);
    } catch (const unusable_file& reason) {
        pair.unclear = reason.what();
        content.add(pair.unclear);
    }
    pair.content = content.finish();
    return pair;
}

} // namespace scoregate::tls
