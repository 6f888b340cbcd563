#include "support/certificates.hpp"
#include "tls/ticket_keys.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <new>

namespace {

using namespace scoregate;
using namespace std::chrono_literals;
using Catch::Contains;

constexpr std::chrono::steady_clock::time_point start{1000h};

std::string bytes_of(char letter) {
    std::string bytes;
    for (int i = 0; i < 80; ++i) bytes += static_cast<char>(letter + i);
    return bytes;
}

tls::ticket_key key_from(const std::string& bytes) {
    return tls::ticket_key(
        std::span<const unsigned char, 80>(reinterpret_cast<const unsigned char*>(bytes.data()), 80));
}
tls::ticket_key key_of(char letter) { return key_from(bytes_of(letter)); }

// "abc": a.key, b.key, c.key, the last is the newest.
tls::ticket_key_files files_of(const std::string& letters) {
    tls::ticket_key_files files;
    for (const char letter : letters) files.keys.emplace_back(std::string(1, letter) + ".key", key_of(letter));
    return files;
}

// As files_of, the key that seals in upper case.
std::string text_of(const tls::ticket_keys& keys, const std::string& letters) {
    std::string text;
    for (const char letter : letters)
        if (keys.find(key_of(letter).name()) != nullptr)
            text += keys.encrypting() == key_of(letter) ? static_cast<char>(letter - 'a' + 'A') : letter;
    return text;
}

std::vector<std::string> names_of(const tls::ticket_key_files& files) {
    std::vector<std::string> names;
    for (const auto& each : files.keys) names.push_back(each.first);
    return names;
}

} // namespace

TEST_CASE("a key is name, HMAC key and AES key in this order") {
    const auto bytes = bytes_of('k');
    const auto key = key_of('k');
    const auto text = [](auto part) { return std::string(part.begin(), part.end()); };
    CHECK(text(key.name()) == bytes.substr(0, 16));
    CHECK(text(key.hmac()) == bytes.substr(16, 32));
    CHECK(text(key.aes()) == bytes.substr(48, 32));
    CHECK(tls::ticket_key::random() != tls::ticket_key::random());
}

TEST_CASE("a key is wiped where it dies") {
    alignas(tls::ticket_key) std::array<unsigned char, sizeof(tls::ticket_key)> place{};
    auto* key = new (place.data()) tls::ticket_key(key_of('k'));
    CHECK(std::count(place.begin(), place.end(), 0) < 40);
    key->~ticket_key();
    CHECK(std::count(place.begin(), place.end(), 0) == sizeof(tls::ticket_key));
}

TEST_CASE("a set finds its keys by name") {
    const tls::ticket_keys keys({key_of('a'), key_of('b')}, 0);
    CHECK(keys.encrypting() == key_of('a'));
    REQUIRE(keys.find(key_of('b').name()) != nullptr);
    CHECK(*keys.find(key_of('b').name()) == key_of('b'));
    CHECK(keys.find(key_of('c').name()) == nullptr);
}

TEST_CASE("own keys: a new one every six hours, none older than twelve") {
    tls::own_ticket_keys keys(start);
    const auto first = keys.current();
    CHECK(first->size() == 1);
    CHECK_FALSE(keys.rotate(start));
    CHECK_FALSE(keys.rotate(start + 6h - 1s));
    CHECK(keys.current() == first);

    CHECK(keys.rotate(start + 6h));
    const auto second = keys.current();
    CHECK(second->size() == 2);
    CHECK(second->encrypting() != first->encrypting());
    CHECK(second->find(first->encrypting().name()) != nullptr);
    CHECK_FALSE(keys.rotate(start + 12h - 1s));

    CHECK(keys.rotate(start + 12h));
    const auto third = keys.current();
    CHECK(third->size() == 2);
    CHECK(third->encrypting() != second->encrypting());
    CHECK(third->find(second->encrypting().name()) != nullptr);
    CHECK(third->find(first->encrypting().name()) == nullptr);
}

TEST_CASE("own keys: a rotation that comes late makes no key live longer") {
    tls::own_ticket_keys keys(start);
    const auto first = keys.current();
    REQUIRE(keys.rotate(start + 9h));
    const auto second = keys.current();
    CHECK(keys.rotate(start + 12h));
    CHECK(keys.current()->find(first->encrypting().name()) == nullptr);
    CHECK(keys.current()->encrypting() == second->encrypting());
    CHECK_FALSE(keys.rotate(start + 15h - 1s));
    CHECK(keys.rotate(start + 100h));
    CHECK(keys.current()->size() == 1);
    CHECK(keys.current()->find(second->encrypting().name()) == nullptr);
}

TEST_CASE("own keys are nobody else's") {
    CHECK(tls::own_ticket_keys(start).current()->encrypting() != tls::own_ticket_keys(start).current()->encrypting());
}

TEST_CASE("shared keys: which one seals") {
    struct event {
        std::chrono::seconds at;
        std::string files; // empty: time passes, nothing else
        std::string keys;  // afterwards; the key that seals in upper case
        bool changed;
    };
    const auto timelines = std::vector<std::vector<event>>{
        // The start: others may not have read the last one yet.
        {{0s, "a", "A", true}, {120s, "", "A", false}},
        {{0s, "ab", "Ab", true}, {119s, "", "Ab", false}, {120s, "", "aB", true}, {121s, "", "aB", false}},
        {{0s, "abc", "aBc", true}, {119s, "abc", "aBc", false}, {120s, "abc", "abC", true}},
        // A new one waits its time.
        {{0s, "a", "A", true}, {200s, "ab", "Ab", true}, {319s, "", "Ab", false}, {320s, "", "aB", true}},
        {{0s, "a", "A", true},
         {200s, "ab", "Ab", true},
         {250s, "abc", "Abc", true},
         {320s, "", "aBc", true},
         {369s, "", "aBc", false},
         {370s, "", "abC", true}},
        // One more before the first 120 s are over: what seals goes on.
        {{0s, "a", "A", true}, {60s, "ab", "Ab", true}, {120s, "", "Ab", false}, {180s, "", "aB", true}},
        {{0s, "abc", "aBc", true}, {60s, "abcd", "aBcd", true}, {120s, "", "abCd", true}, {180s, "", "abcD", true}},
        // Gone: opens no longer.
        {{0s, "ab", "Ab", true}, {130s, "b", "B", true}},
        {{0s, "ab", "Ab", true}, {10s, "b", "B", true}},
        {{0s, "ab", "Ab", true}, {120s, "", "aB", true}, {130s, "a", "A", true}},
        {{0s, "ab", "Ab", true}, {130s, "abc", "aBc", true}, {140s, "ac", "Ac", true}, {250s, "", "aC", true}},
        {{0s, "ab", "Ab", true}, {130s, "cd", "Cd", true}, {249s, "", "Cd", false}, {250s, "", "cD", true}},
        // Back again: as new.
        {{0s, "ab", "Ab", true},
         {130s, "a", "A", true},
         {140s, "ab", "Ab", true},
         {259s, "", "Ab", false},
         {260s, "", "aB", true}},
        // Not the last by name, so not the newest.
        {{0s, "b", "B", true}, {10s, "ab", "aB", true}, {300s, "", "aB", false}},
    };
    for (const auto& timeline : timelines) {
        tls::shared_ticket_keys keys;
        CHECK(keys.current() == nullptr);
        CHECK_FALSE(keys.advance(start));
        for (const auto& event : timeline) {
            CAPTURE(&timeline - timelines.data(), event.at.count());
            const auto before = keys.current();
            const bool changed = event.files.empty() ? keys.advance(start + event.at)
                                                     : keys.update(files_of(event.files), start + event.at);
            CHECK(changed == event.changed);
            CHECK((keys.current() != before) == event.changed);
            CHECK(text_of(*keys.current(), "abcd") == event.keys);
            CHECK(keys.current()->size() == event.keys.size());
        }
    }
}

TEST_CASE("shared keys: a file that is written anew is a new key") {
    tls::shared_ticket_keys keys;
    keys.update(files_of("ab"), start);
    REQUIRE(keys.advance(start + 120s));
    auto rewritten = files_of("ab");
    rewritten.keys.back().second = key_from(bytes_of('b').substr(0, 79) + "!"); // of the same name even
    CHECK(keys.update(rewritten, start + 130s));
    CHECK(keys.current()->encrypting() == key_of('a'));
    CHECK(keys.advance(start + 250s));
    CHECK(keys.current()->encrypting() == rewritten.keys.back().second);
    rewritten.keys.back().first = "c.key"; // another file name alone changes nothing
    CHECK_FALSE(keys.update(rewritten, start + 260s));
}

TEST_CASE("shared keys: a defect leaves the last good set") {
    tls::shared_ticket_keys keys;
    auto bad = files_of("b");
    bad.problems = {"a.key is no key"};
    CHECK_FALSE(keys.update(bad, start));
    CHECK(keys.current() == nullptr);
    REQUIRE(keys.update(files_of("a"), start));
    CHECK_FALSE(keys.update(bad, start + 1s));
    CHECK(text_of(*keys.current(), "ab") == "A");
    CHECK_FALSE(keys.advance(start + 200s));
    CHECK(text_of(*keys.current(), "ab") == "A");
}

TEST_CASE("shared keys: a key that has sealed for more than twelve hours is told") {
    tls::shared_ticket_keys keys;
    CHECK_FALSE(keys.overdue(start));
    keys.update(files_of("ab"), start);
    keys.advance(start + 120s); // b from here on
    keys.advance(start + 12h);
    CHECK_FALSE(keys.overdue(start + 12h + 120s));
    REQUIRE(keys.overdue(start + 12h + 121s));
    CHECK_THAT(*keys.overdue(start + 12h + 121s), Contains("b.key") && Contains("openssl rand 80 > "));
    keys.update(files_of("abc"), start + 13h); // done something about it
    CHECK_FALSE(keys.overdue(start + 13h));
    keys.advance(start + 13h + 120s);
    keys.update(files_of("bc"), start + 14h);
    CHECK_FALSE(keys.overdue(start + 25h + 120s));
    CHECK_THAT(keys.overdue(start + 25h + 121s).value_or(""), Contains("c.key"));
}

TEST_CASE("the folder: key files by name, hidden ones and others left out") {
    const tests::pem_directory folder;
    const auto path = folder.path().string();
    for (const auto* name : {"2.key", "10.key", ".3.key", ".key", "4.key.bak", "readme"})
        ::chmod(folder.write(name, name[0] == '2' ? bytes_of('b') : bytes_of('a')).c_str(), 0600);
    const auto read = tls::read_ticket_keys(path);
    CHECK(read.problems.empty());
    CHECK(read.warnings.empty());
    CHECK(names_of(read) == std::vector<std::string>{"10.key", "2.key"});
    REQUIRE(read.keys.size() == 2);
    CHECK(read.keys[0].second == key_of('a'));
    CHECK(read.keys[1].second == key_of('b'));
}

TEST_CASE("the folder: as Kubernetes mounts a secret") {
    const tests::pem_directory folder;
    namespace fs = std::filesystem;
    fs::create_directory(folder.path() / "..2026_01");
    ::chmod(folder.write("..2026_01/a.key", bytes_of('a')).c_str(), 0640);
    fs::create_symlink("..2026_01", folder.path() / "..data");
    fs::create_symlink("..data/a.key", folder.path() / "a.key");
    const auto read = tls::read_ticket_keys(folder.path().string());
    CHECK(read.problems.empty());
    CHECK(read.warnings.empty());
    REQUIRE(names_of(read) == std::vector<std::string>{"a.key"});
    CHECK(read.keys[0].second == key_of('a'));
}

TEST_CASE("the folder: every defect is told with its remedy") {
    const tests::pem_directory folder;
    const auto path = folder.path().string();
    const auto problems = [&path] { return tls::read_ticket_keys(path).problems; };

    CHECK_THAT(tls::read_ticket_keys(path + "/none").problems,
               Catch::Equals(std::vector<std::string>{"cannot read " + path +
                                                      "/none: No such file or directory; correct the path"}));
    CHECK_THAT(problems(), Catch::Equals(std::vector<std::string>{
                               path + " holds no file NAME.key; make one: openssl rand 80 > " + path + "/NAME.key"}));
    const auto file = folder.write("a.key", bytes_of('a'));
    CHECK_THAT(tls::read_ticket_keys(file).problems.at(0), Contains(file) && Contains("Not a directory; "));

    struct row {
        std::string content, told;
    };
    for (const auto& row : std::vector<row>{{"", "it has 0 bytes"},
                                            {bytes_of('b').substr(0, 79), "it has 79 bytes"},
                                            {bytes_of('b').substr(0, 48), "it has 48 bytes"},
                                            {bytes_of('b') + "\n", "it has more than 80 bytes"},
                                            {std::string(100000, 'b'), "it has more than 80 bytes"}}) {
        const auto bad = folder.write("b.key", row.content);
        REQUIRE(problems().size() == 1);
        CHECK_THAT(problems().front(), Contains(bad + " is not a session ticket key: " + row.told) &&
                                           Contains("make it anew: openssl rand 80 > " + bad));
    }

    folder.write("b.key", bytes_of('a').substr(0, 16) + bytes_of('b').substr(16));
    REQUIRE(problems().size() == 1);
    CHECK_THAT(problems().front(), Contains("a.key and b.key begin with the same 16 bytes") &&
                                       Contains("openssl rand 80 > " + path + "/b.key"));
    std::filesystem::remove(folder.path() / "b.key");

    std::filesystem::create_symlink("nowhere", folder.path() / "c.key");
    std::filesystem::create_directory(folder.path() / "d.key");
    REQUIRE(::mkfifo((folder.path() / "e.key").c_str(), 0600) == 0);
    folder.write("f.key", "short");
    REQUIRE(problems().size() == 4); // all of them at once
    CHECK_THAT(problems()[0], Contains("c.key: No such file or directory; "));
    CHECK_THAT(problems()[1], Contains("d.key: it is not a regular file; "));
    CHECK_THAT(problems()[2], Contains("e.key: it is not a regular file; "));
    CHECK_THAT(problems()[3], Contains("f.key is not a session ticket key"));
}

TEST_CASE("the folder: a key that others can read is warned about") {
    const tests::pem_directory folder;
    struct row {
        mode_t mode;
        bool warned;
    };
    const auto file = folder.write("a.key", bytes_of('a'));
    for (const auto& row : std::vector<row>{{0600, false}, {0640, false}, {0644, true}, {0604, true}}) {
        CAPTURE(row.mode);
        REQUIRE(::chmod(file.c_str(), row.mode) == 0);
        const auto read = tls::read_ticket_keys(folder.path().string());
        CHECK(read.problems.empty());
        CHECK(read.warnings.size() == (row.warned ? 1 : 0));
        if (row.warned) CHECK_THAT(read.warnings.at(0), Contains(file) && Contains("; chmod o-r " + file));
    }
}

TEST_CASE("the folder: equal contents have equal digests, others do not") {
    const tests::pem_directory folder;
    const auto path = folder.path().string();
    std::vector<tls::content_digest> seen;
    const auto is_new = [&seen, &path] {
        const auto digest = tls::read_ticket_keys(path).content;
        CHECK(tls::read_ticket_keys(path).content == digest);
        const bool unseen = std::find(seen.begin(), seen.end(), digest) == seen.end();
        seen.push_back(digest);
        return unseen;
    };
    CHECK(is_new()); // empty
    folder.write("a.key", bytes_of('a'));
    CHECK(is_new());
    folder.write("a.key", bytes_of('a'));
    CHECK_FALSE(is_new());
    folder.write("other", "x");
    CHECK_FALSE(is_new());
    folder.write("a.key", bytes_of('b'));
    CHECK(is_new());
    std::filesystem::rename(folder.path() / "a.key", folder.path() / "b.key");
    CHECK(is_new());
    folder.write("c.key", "short");
    CHECK(is_new());
    folder.write("c.key", "other");
    CHECK(is_new());
    std::filesystem::remove(folder.path() / "c.key");
    CHECK_FALSE(is_new());
    std::filesystem::create_directory(folder.path() / "c.key");
    CHECK(is_new());
}
