// What the service says of a moment or a file, in words, numbers and shares of a bar: probabilities, or ratings.

const percent = (share) => `${(100 * share).toFixed(0)} %`;

// facts: { kind, names, spans }.
export const answersOf = (facts) => (facts.kind === "dimensions" ? ratings(facts) : probabilities(facts));

/* Both have:
   of(answer)        name -> number, empty for silence
   number(value)     as text
   share(name, value)  in [0, 1], of a bar or the height of a view
   headline(answer)  [large, small]
   sentence(answer)  for whoever hears the page
   brief(answer)     in a line
   course(moments)   how it went
   note(name)        beside the name, "" for nothing */

function probabilities() {
  const ranked = (answer) => Object.entries(answer.probabilities).sort(([, a], [, b]) => b - a);
  return {
    title: "Probabilities over time",
    of: (answer) => answer.probabilities,
    number: percent,
    share: (name, value) => value,
    headline(answer) {
      const [[word, share], second] = ranked(answer);
      return [word, second ? `${percent(share)}, then ${second[0]} with ${percent(second[1])}` : percent(share)];
    },
    sentence: (answer) => `${answer.emotion}, ${percent(answer.probabilities[answer.emotion])}.`,
    brief: (answer) => ranked(answer).slice(0, 3).map(([word, share]) => `${word} ${percent(share)}`).join(", "),
    // "angry until 1.3 s, then sad until 2.0 s"
    course(moments) {
      const parts = [];
      for (const { seconds, emotion } of moments) {
        const word = emotion ?? "silence";
        if (parts.at(-1)?.word === word) parts.at(-1).until = seconds;
        else parts.push({ word, until: seconds });
      }
      return parts.map(({ word, until }) => `${word} until ${until.toFixed(1)} s`).join(", then ") || "none";
    },
    note: () => "",
  };
}

function ratings({ names, spans }) {
  const number = (value) => value.toFixed(2);
  const span = (name) => spans[names.indexOf(name)];
  const brief = (answer) => Object.entries(answer.ratings).map(([name, value]) => `${name} ${number(value)}`).join(", ");
  return {
    title: "Ratings over time",
    of: (answer) => answer.ratings,
    number,
    share(name, value) {
      const [low, high] = span(name);
      return Math.max(0, Math.min(1, (value - low) / (high - low)));
    },
    headline(answer) {
      const [[name, value]] = Object.entries(answer.ratings);
      return [`${name} ${number(value)}`, Object.entries(answer.ratings).slice(1).map(([other, rating]) => `${other} ${number(rating)}`).join(", ")];
    },
    sentence: (answer) => `${brief(answer)}.`,
    brief,
    // "arousal from 2.10 to 3.40, valence from 3.00 to 3.20"
    course(moments) {
      const heard = moments.filter((moment) => Object.keys(moment.ratings).length);
      if (!heard.length) return "none";
      return names.map((name) => {
        const values = heard.map((moment) => moment.ratings[name]);
        return `${name} from ${number(Math.min(...values))} to ${number(Math.max(...values))}`;
      }).join(", ");
    },
    note: (name) => span(name).map(number).join(" to "),
  };
}
