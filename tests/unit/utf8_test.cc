#include "core/utf8.h"

#include <gtest/gtest.h>

namespace gradwire {
namespace {

TEST(Utf8, AcceptsCharactersOfAnyLength) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("grad/w"));
  EXPECT_TRUE(IsUtf8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x99\x82 \xed\x9f\xbf \xf4\x8f\xbf\xbf"));
}

TEST(Utf8, RefusesAllElse) {
  for (const char* text : {"\xff", "\x80", "\xc3", "\xe2\x82", "\xc0\xaf", "\xe0\x80\xaf",
                           "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xc3x"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
    EXPECT_TRUE(IsUtf8(ToUtf8(text)));
  }
}

TEST(Utf8, ReplacesWhatIsNoCharacter) {
  EXPECT_EQ(ToUtf8("a\xff\xc3\xa4\xe2\x82z"), "a?\xc3\xa4??z");
}

}  // namespace
}  // namespace gradwire
