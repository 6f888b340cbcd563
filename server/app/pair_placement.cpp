#include "app/pair_placement.hpp"

#include "app/folder_lock.hpp"
#include "base/file_replacement.hpp"
#include "tls/certificate_check.hpp"
#include "tls/development_certificates.hpp"

#include <boost/algorithm/string/predicate.hpp>
#include <openssl/crypto.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <list>
#include <set>
#include <string_view>

namespace scoregate::app {

namespace fs = std::filesystem;

namespace {

// A PEM text with the key in it: wiped when done with.
struct secret_pem {
    std::string text;
    ~secret_pem() { OPENSSL_cleanse(text.data(), text.size()); }
};

std::string certificates_pem(const tls::certificate& of) {
    auto text = tls::to_pem(of.leaf());
    for (int i = 0; i < sk_X509_num(of.chain()); ++i) text += tls::to_pem(sk_X509_value(of.chain(), i));
    return text;
}

// All that can be held back is, a stop too: between the two files nothing matches. What comes takes effect afterwards.
class signals_held {
public:
    signals_held() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    signals_held(const signals_held&) = delete;
    signals_held& operator=(const signals_held&) = delete;
    ~signals_held() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

// Where the pair's files are, or are to be: in a directory the layout that is there, else Azure's.
config::certificate_files located(config::certificate_files files) {
    if (files.secret.empty()) return files;
    const auto beside = [&files](const char* name) { return files.secret + '/' + name; };
    std::error_code ec;
    const bool kubernetes = fs::exists(beside("tls.crt"), ec) || fs::exists(beside("tls.key"), ec);
    files.certificate = beside(kubernetes ? "tls.crt" : "cert.pem");
    files.key = beside(kubernetes ? "tls.key" : "key.pem");
    return files;
}

enum class in_place { same_type, other_type, no_good };

in_place compare(const config::certificate_files& place, const tls::certificate& fresh) {
    const auto found = tls::load_certificate(place, "", std::chrono::system_clock::now()).value;
    if (!found) return in_place::no_good;
    return found->ecdsa() == fresh.ecdsa() ? in_place::same_type : in_place::other_type;
}

// The file that both pairs use; empty if none.
std::string shared_file(const config::certificate_files& a, const config::certificate_files& b) {
    for (const auto& one : {a.certificate, a.key})
        for (const auto& other : {b.certificate, b.key})
            if (base::behind_links(one) == base::behind_links(other)) return one;
    return {};
}

} // namespace

pair_list namesakes(const pair_list& configured, const std::optional<std::string>& cname) {
    const auto first = std::find_if(configured.begin(), configured.end(), [&](const auto& each) {
        return cname ? boost::iequals(each.cname, *cname) : each.pointer.empty();
    });
    pair_list found;
    if (first != configured.end())
        std::copy_if(configured.begin(), configured.end(), std::back_inserter(found),
                     [&](const auto& each) { return boost::iequals(each.cname, first->cname); });
    return found;
}

config::certificate_files place_for(const tls::certificate& fresh, const pair_list& candidates,
                                    const pair_list& configured) {
    pair_list fitting = candidates;
    if (candidates.size() > 1) {
        for (const auto wanted : {in_place::same_type, in_place::no_good}) {
            fitting.clear();
            std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(fitting),
                         [&](const auto& each) { return compare(each, fresh) == wanted; });
            if (!fitting.empty()) break;
        }
    }
    if (fitting.size() != 1) {
        std::string files;
        for (const auto& each : fitting.empty() ? candidates : fitting) {
            const auto place = located(each);
            files += (files.empty() ? "" : ", or ") + place.certificate + " and " + place.key;
        }
        throw no_place("it is not clear which pair for " + candidates.front().cname + " is meant, " + files +
                       ": copy the new files over the ones that they are to replace");
    }
    const auto place = located(fitting.front());
    for (const auto& each : configured) {
        if (each.pointer == place.pointer) continue;
        if (const auto shared = shared_file(place, located(each)); !shared.empty())
            throw no_place(
                shared + " is also used by the pair for " + each.cname + " (" +
                (each.pointer.empty() ? "at the top" : each.pointer) +
                "), which the new one would change as well; give each pair files of its own, or name this one only "
                "once: it is served for every name of its certificate");
    }
    return place;
}

void put_in_place(const tls::certificate& fresh, const config::certificate_files& place,
                  std::chrono::milliseconds patience) {
    const auto certificate = base::behind_links(place.certificate), key = base::behind_links(place.key);
    std::list<folder_lock> locks;
    for (const auto& folder : std::set{fs::path(certificate).parent_path(), fs::path(key).parent_path()}) // in order
        locks.emplace_back(folder.string(), patience);

    const signals_held held;
    const secret_pem new_key{tls::to_pem(fresh.key())};
    if (certificate == key) {
        const secret_pem both{certificates_pem(fresh) + new_key.text};
        base::file_replacement(key, both.text, 0600).commit();
        return;
    }
    base::file_replacement key_file(key, new_key.text, 0600);
    base::file_replacement certificate_file(certificate, certificates_pem(fresh), 0644);
    key_file.commit();
    try {
        certificate_file.commit();
    } catch (const std::runtime_error& error) {
        if (key_file.undo()) throw;
        throw half_placed(std::string(error.what()) + "; but " + key + " holds the new key already: put the new " +
                          "certificate into " + certificate + " by hand");
    }
}

} // namespace scoregate::app
