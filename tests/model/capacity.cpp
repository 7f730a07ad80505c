// (f) credit_take() reads `capacity` after a look at the word; the channel may be destroyed, recycled and made anew in between (src/mpsc/credit.h, channels.c create).
//  V=0 capacity is plain memory (3a35889)    FAIL (data race: undefined behaviour; the value is never used, since the CAS then fails)
//  V=1 a relaxed atomic (the code)            PASS, and taken never exceeds the capacity of its generation
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
enum { GEN=64, CLOSED=32, RETIRING=16, FREE=8, TAKEN=7 };
//@ src/mpsc/credit.h: uint64_t seen = sqcq__load_acquire(&credit->word);
//@ src/mpsc/credit.h: if (sqcq__word_generation(seen) != generation ||
//@ src/mpsc/credit.h: uint32_t capacity = sqcq__load_relaxed(&credit->capacity);
//@ src/mpsc/credit.h: if (sqcq__cas_acq_rel(&credit->word, &seen, seen + n))
struct T : test_suite<T, 2> {
  atomic<int> word;
#if V==0
  rl::var<int> capacity;
#else
  atomic<int> capacity;
#endif
  void before(){ word($)=1*GEN; capacity($)=2; }
  void thread(unsigned i){
    if(i==0){ int w=word($).load(mo_acquire); for(int k=0;k<3;k++){ if(w/GEN!=1||(w&(CLOSED|FREE))) return;
#if V==0
        int c=capacity($);
#else
        int c=capacity($).load(mo_relaxed);
#endif
        if((w&TAKEN)>=c) return;
        if(word($).compare_exchange_strong(w,w+1,mo_acq_rel,mo_acquire)){ RL_ASSERT((w&TAKEN)<2); return; } } }
    else { int c=1*GEN; if(!word($).compare_exchange_strong(c,1*GEN|CLOSED|RETIRING,mo_seq_cst,mo_acquire)) return;
      c=1*GEN|CLOSED|RETIRING; word($).compare_exchange_strong(c,1*GEN|CLOSED|FREE,mo_acq_rel,mo_acquire);
      c=1*GEN|CLOSED|FREE; word($).compare_exchange_strong(c,2*GEN|CLOSED,mo_acq_rel,mo_acquire);
#if V==0
      capacity($)=7;
#else
      capacity($).store(7,mo_relaxed);
#endif
      c=2*GEN|CLOSED; word($).compare_exchange_strong(c,2*GEN,mo_acq_rel,mo_acquire); } }
};
int main(){ test_params p; p.search_type=sched_full; p.iteration_count=100000000; bool r=simulate<T>(p); printf("capacity V=%d: %s iters=%u\n",V,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
